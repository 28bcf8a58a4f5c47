"""The buffers that a launch may touch: host memory at its own address."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Buffer:
    """`size` bytes from `address` on."""

    address: int
    size: int
    name: str
    writable: bool

    @property
    def end(self) -> int:
        return self.address + self.size


class Memory:
    """Device memory. A device address is the host address of the same byte."""

    def __init__(self) -> None:
        self._buffers: list[Buffer] = []

    def add(self, address: int, size: int, name: str, *, writable: bool = True) -> None:
        """Registers a buffer of `size` bytes; one of no bytes has no address to touch and is left out."""
        if size:
            self._buffers.append(Buffer(address, size, name, writable))

    def remove(self, address: int) -> None:
        """Forgets the buffers that start at an address, if there are any."""
        self._buffers = [buffer for buffer in self._buffers if buffer.address != address]

    def buffers(self) -> list[Buffer]:
        """Buffers by ascending address. Those that overlap are one, writable if one of them is."""
        result: list[Buffer] = []
        for buffer in sorted(self._buffers, key=lambda item: (item.address, item.size)):
            if result and buffer.address < result[-1].end:
                previous = result.pop()
                end, name = max(previous.end, buffer.end), f"{previous.name}, {buffer.name}"
                buffer = Buffer(previous.address, end - previous.address, name, previous.writable or buffer.writable)
            result.append(buffer)
        return result
