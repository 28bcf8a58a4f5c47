"""Are the results correct?"""

from evidence.core.section import Section
from evidence.sections.correctness.row import CorrectnessRow, SpecRow

SECTION = Section(
    name="correctness",
    title="Are the results correct?",
    order=110,
    tables={"correctness": CorrectnessRow, "specs": SpecRow},
)
