"""Runs the GPU kernels of both sides on a CPU: their PTX is executed lane by lane on NumPy arrays.

`python -m shared_tests.emulator` runs the whole catalogue. Results obtained this way are called emulated: they show
values, memory faults, races, launches that fail, and how much memory traffic a kernel asks for. They show no time.
"""
