"""What does a call cost?"""

from evidence.core.section import Section

SECTION = Section(
    name="dispatch", title="What does a call cost?", order=20, tables=("dispatch", "waterfall", "crossover", "threads")
)
