"""Are the results correct?"""

from evidence.core.section import Section

SECTION = Section(name="correctness", title="Are the results correct?", order=110, tables=("correctness",))
