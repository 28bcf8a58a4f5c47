"""Executes the PTX of the GPU kernels on the CPU, in lock step, with checks of every memory access and counters.

`python -m shared_tests.emulator` runs the ops of both sides. Results are called emulated: they say whether a kernel is
right and what it asks of memory, and nothing about time.
"""
