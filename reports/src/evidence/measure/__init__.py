"""Measurements: each module fills one section of the pack; `compare` runs them in order."""
