"""One module an op, each with one `SPEC`: the only place where an op is described."""
