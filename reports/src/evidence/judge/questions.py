"""The decision questions: what is asked, on which device, and which requirements a side must meet."""

from __future__ import annotations

from typing import NamedTuple

CPU = "cpu"
NVIDIA = "NVIDIA"
AMD = "AMD"
ALL = "all devices"


class Question(NamedTuple):
    """One question; `device` is what the op is for, `gates` are names of requirements in `gates.py`."""

    id: str
    asks: str
    device: str
    gates: tuple[str, ...]


QUESTIONS = {
    question.id: question
    for question in (
        Question("cpu", "A new op on the CPU", CPU, ("correct",)),
        Question("nvidia", "A new op on an NVIDIA GPU", NVIDIA, ("gpu", "correct")),
        Question("amd", "A new op on an AMD GPU", AMD, ("gpu", "correct")),
        Question("small", "Small tensors, decode", CPU, ("correct",)),
        Question("training", "Training", CPU, ("correct", "gradients")),
        Question("no-cpp-team", "A team without C++ skills", CPU, ("correct",)),
        Question("wheels", "Must ship wheels", CPU, ("correct", "moves")),
        Question("vendors", "Must support several GPU vendors", ALL, ("several_gpus", "correct", "builds")),
    )
}
"""In the order in which they are printed."""
