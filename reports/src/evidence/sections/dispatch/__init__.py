"""What does a call cost?"""

from evidence.core.section import Section
from evidence.sections.dispatch.row import CrossoverRow, DispatchRow, ThreadsRow, WaterfallRow

SECTION = Section(
    name="dispatch",
    title="What does a call cost?",
    order=20,
    tables={"dispatch": DispatchRow, "waterfall": WaterfallRow, "crossover": CrossoverRow, "threads": ThreadsRow},
)
