"""Do the GPU kernels work?"""

from evidence.core.section import Section

SECTION = Section(name="gpu", title="Do the GPU kernels work?", order=70, tables=("gpu",))
