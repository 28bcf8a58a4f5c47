"""The routes of this side that a model can be patched with."""

DEFAULT = "cpp"

ROUTES = {"cpp": ".", "cpp_pybind": "._pybind", "cpp_classic": ".classic"}
"""The module that holds the ops, relative to this package."""

DEVICES = {"cpp_pybind": ("cpu",)}
"""Device types of the routes that do not run on all."""

OPAQUE = frozenset({"cpp_pybind"})
"""Routes whose functions torch.compile cannot trace."""

WITHOUT_AUTOGRAD = frozenset({"cpp_pybind"})
"""Routes whose functions know no gradients: where one is needed the model's own forward runs."""

LAYERS = "cpp"
"""The route of the layers in `layers.py`."""
