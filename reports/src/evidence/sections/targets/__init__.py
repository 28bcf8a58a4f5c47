"""What builds for which processor?"""

from evidence.core.section import Section
from evidence.sections.targets.row import TargetRow

SECTION = Section(name="targets", title="What builds for which processor?", order=80, tables={"targets": TargetRow})
