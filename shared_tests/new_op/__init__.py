"""`nox -s new_op -- NAME "SCHEMA"`: the files of a new elementwise op on both sides, with arithmetic to be replaced."""
