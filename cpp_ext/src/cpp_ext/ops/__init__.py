"""One module an op: its fake kernels and its typed function."""
