"""The processors that the targets matrix builds for."""

from __future__ import annotations

from dataclasses import dataclass

CPU, NVIDIA, AMD, APPLE = "CPU", "NVIDIA", "AMD", "Apple"


@dataclass(frozen=True)
class Target:
    """A processor to build for, by the name that compilers know it by."""

    name: str
    vendor: str
    what: str


TARGETS = (
    Target("x86-64-v3", CPU, "x86 with AVX2"),
    Target("x86-64-v4", CPU, "x86 with AVX-512"),
    Target("aarch64", CPU, "64-bit Arm"),
    Target("sm_80", NVIDIA, "A100"),
    Target("sm_86", NVIDIA, "A10, RTX 30"),
    Target("sm_89", NVIDIA, "L4, RTX 40"),
    Target("sm_90", NVIDIA, "H100, H200"),
    Target("sm_100", NVIDIA, "B200"),
    Target("sm_120", NVIDIA, "RTX 50"),
    Target("gfx90a", AMD, "MI250"),
    Target("gfx942", AMD, "MI300"),
    Target("gfx950", AMD, "MI350"),
    Target("gfx1100", AMD, "RX 7900"),
    Target("apple-m1", APPLE, "GPU of an M1, which later ones run too"),
)
BY_NAME = {target.name: target for target in TARGETS}
