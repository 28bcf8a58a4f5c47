"""How route mojo passes tensors on a GPU to MAX."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("max.driver", reason="MAX is not installed")

from max.driver import CPU, Buffer

from mojo_ops import gpu

STREAM = 7


def test_the_slower_form_follows_where_the_fast_one_fails() -> None:
    """MAX's CPU device has no streams, so the fast form fails there, as it does across threads on a GPU."""
    tensor = torch.arange(6.0)
    with pytest.raises(RuntimeError, match="external stream"):
        Buffer._from_dlpack(torch.utils.dlpack.to_dlpack(tensor), CPU(), STREAM)
    buffer = gpu.hand_over(tensor, CPU(), STREAM)
    tensor[0] = 7
    assert buffer.to_numpy().tolist() == [7, 1, 2, 3, 4, 5], "the buffer is a copy"


def test_the_fast_form_gets_device_and_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    class Recorder:
        @staticmethod
        def _from_dlpack(capsule: Any, device: Any, stream: int) -> tuple[str, Any, int]:
            return type(capsule).__name__, device, stream

    monkeypatch.setattr(gpu, "Buffer", Recorder)
    device = CPU()
    assert gpu.hand_over(torch.ones(2), device, STREAM) == ("PyCapsule", device, STREAM)
