"""Do the GPU kernels work?"""

from evidence.core.section import Section
from evidence.sections.gpu.row import GpuRow

SECTION = Section(name="gpu", title="Do the GPU kernels work?", order=70, tables={"gpu": GpuRow})
