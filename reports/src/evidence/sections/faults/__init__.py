"""What do mistakes cost?"""

from evidence.core.section import Section
from evidence.sections.faults.row import FaultRow

SECTION = Section(name="faults", title="What do mistakes cost?", order=50, tables={"faults": FaultRow})
