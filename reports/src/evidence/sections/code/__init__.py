"""How much code is it?"""

from evidence.core.section import Section
from evidence.sections.code.row import CodeRow, SourceRow

SECTION = Section(name="code", title="How much code is it?", order=40, tables={"code": CodeRow, "sources": SourceRow})
