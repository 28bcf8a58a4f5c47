"""What does building cost?"""

from evidence.core.section import Section
from evidence.sections.build.row import BuildRow

SECTION = Section(name="build", title="What does building cost?", order=30, tables={"build": BuildRow})
