"""What must be installed, and what survives an upgrade?"""

from evidence.core.section import Section

SECTION = Section(
    name="install",
    title="What must be installed, and what survives an upgrade?",
    order=60,
    tables=("footprint", "upgrade"),
)
