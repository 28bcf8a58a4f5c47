"""How fast is it?"""

from evidence.core.section import Section

SECTION = Section(name="runtime", title="How fast is it?", order=10, tables=("runtime", "noise", "roofline"))
