"""One module per op. Its `SPEC` is the only description of the op."""
