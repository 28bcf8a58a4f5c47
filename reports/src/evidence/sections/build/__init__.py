"""What does building cost?"""

from evidence.core.section import Section

SECTION = Section(name="build", title="What does building cost?", order=30, tables=("build",))
