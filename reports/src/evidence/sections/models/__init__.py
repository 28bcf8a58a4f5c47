"""What is it worth in a whole model?"""

from evidence.core.section import Section
from evidence.sections.models.row import ModelRow

SECTION = Section(name="models", title="What is it worth in a whole model?", order=90, tables={"models": ModelRow})
