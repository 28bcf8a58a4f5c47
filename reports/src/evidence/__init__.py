"""Evidence on C++ extensions and Mojo/MAX for custom PyTorch ops: measure, pack, analyse, render.

`pack` is the format, `analyse` turns a pack into findings and a verdict, `render` turns a pack folder into a report.
"""
