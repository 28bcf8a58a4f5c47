"""What can this run tell apart?"""

from evidence.core.section import Section
from evidence.sections.proof.row import ProofRow

SECTION = Section("proof", "What can this run tell apart?", 15, {"proof": ProofRow})
