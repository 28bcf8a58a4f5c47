"""One module an op: its typed function and its gradient."""
