"""This side's layers for Hugging Face's `kernels`: `mojo_ops.layers.RMSNorm`, `NewGELU` and `GeluTanh`.

`nox -s hub` creates a folder with this module, in which `kernels.LocalLayerRepository` and `LayerRepository` find them.
"""

from ._routes import LAYERS
from .patching.catalogue import route_ops
from .patching.layers import layer_classes

globals().update(layer_classes(route_ops(LAYERS)))
