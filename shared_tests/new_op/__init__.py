"""`nox -s new_op -- NAME "SCHEMA"` writes the files of a new elementwise op, with a placeholder formula."""
