"""What a relay tells, taken apart: pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fakevm.capture.relay import HEADER


class Frame(NamedTuple):
    """A piece of what one program says, or its end."""

    kind: bytes
    number: int
    data: bytes


class Frames:
    """Frames of a stream that comes in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are whole by now."""
        buffer = self._rest + data
        at = 0
        while len(buffer) - at >= HEADER.size:
            kind, number, size = HEADER.unpack_from(buffer, at)
            end = at + HEADER.size + size
            if end > len(buffer):
                break
            yield Frame(kind, number, buffer[at + HEADER.size : end])
            at = end
        self._rest = buffer[at:]
