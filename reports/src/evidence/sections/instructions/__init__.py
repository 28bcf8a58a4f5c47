"""How many instructions does a small call execute?"""

from evidence.core.section import Section
from evidence.sections.instructions.row import InstructionRow

SECTION = Section(
    "instructions", "How many instructions does a small call execute?", 22, {"instructions": InstructionRow}
)
