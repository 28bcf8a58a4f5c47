"""Executes the PTX of the GPU kernels on the CPU, in lock step, with checks of every memory access and counters.

`ptx.parse` reads the text that nvcc or Mojo emits, `machine.Launch` runs a kernel on buffers of host memory. Results
are called emulated: they say whether a kernel is right and what it asks of memory, and nothing about time.
"""
