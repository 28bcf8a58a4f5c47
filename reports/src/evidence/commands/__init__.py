"""The commands of `python -m evidence`, one module each: `add` declares the options, `run` does it."""
