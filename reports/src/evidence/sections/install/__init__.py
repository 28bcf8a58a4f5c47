"""What must be installed, and what survives an upgrade?"""

from evidence.core.section import Section
from evidence.sections.install.row import FootprintRow, UpgradeRow

SECTION = Section(
    name="install",
    title="What must be installed, and what survives an upgrade?",
    order=60,
    tables={"footprint": FootprintRow, "upgrade": UpgradeRow},
)
