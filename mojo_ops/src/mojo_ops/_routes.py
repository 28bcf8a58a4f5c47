"""The routes of this side that a model can be patched with."""

DEFAULT = "mojo"

ROUTES = {"mojo": ".", "mojo_aot": ".aot", "mojo_stock": ".stock", "max_graph": ".max_graph"}
"""The module that holds the ops, relative to this package. The last two compile at the first call of a dtype or
shape."""

DEVICES = {"mojo_aot": ("cpu",)}
"""Device types of the routes that do not run on all."""

OPAQUE: frozenset[str] = frozenset()
"""Routes whose functions torch.compile cannot trace."""

WITHOUT_AUTOGRAD = frozenset({"mojo_stock", "max_graph"})
"""Routes whose functions know no gradients: where one is needed the model's own forward runs."""

LAYERS = "mojo_aot"
"""The route of the layers in `layers.py`: it needs nothing but torch at run time."""
