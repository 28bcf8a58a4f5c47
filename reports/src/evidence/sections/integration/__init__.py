"""What works with PyTorch?"""

from evidence.core.section import Section
from evidence.sections.integration.row import IntegrationRow

SECTION = Section(
    name="integration", title="What works with PyTorch?", order=100, tables={"integration": IntegrationRow}
)
