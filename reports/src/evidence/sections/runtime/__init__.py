"""How fast is it?"""

from evidence.core.section import Section
from evidence.sections.runtime.row import NoiseRow, RooflineRow, RuntimeRow

SECTION = Section(
    name="runtime",
    title="How fast is it?",
    order=10,
    tables={"runtime": RuntimeRow, "noise": NoiseRow, "roofline": RooflineRow},
)
