"""One module an op, or several where its name joins theirs by two underscores: typed function and gradient."""
