"""The routes of this side that a model can be patched with."""

DEFAULT = "mojo"
ROUTES = {
    "mojo": "mojo_ops",
    "mojo_aot": "mojo_ops.aot",
    "mojo_stock": "mojo_ops.stock",
    "max_graph": "mojo_ops.max_graph",
}
"""The module that holds the ops, by route. The last two compile at the first call of a dtype or shape."""

DEVICES = {"mojo_aot": ("cpu",)}
"""Device types of the routes that do not run on all."""
