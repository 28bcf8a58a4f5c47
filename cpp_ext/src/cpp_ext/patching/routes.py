"""The routes of this side that a model can be patched with."""

DEFAULT = "cpp"
ROUTES = {"cpp": "cpp_ext", "cpp_pybind": "cpp_ext._pybind", "cpp_classic": "cpp_ext.classic"}
"""The module that holds the ops, by route. Plain pybind11 functions are opaque to torch.compile."""

DEVICES = {"cpp_pybind": ("cpu",)}
"""Device types of the routes that do not run on all."""
