"""Packets of several streams in the order of their times, as far as a short wait allows: pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from fakevm.capture.packets import Packet

# So long is waited for what others saw earlier; tcpdump hands a packet on at once.
WINDOW_S = 0.2


class Seen(NamedTuple):
    """A packet, and the number of the point where it was seen."""

    packet: Packet
    point: int


class Merge:
    """Holds packets for a while. `now` is any clock that only grows.

    By when packets came, and not by their own times: they may be another machine's.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._held: list[Seen] = []
        # When packets came, and the latest of their times.
        self._came: deque[tuple[float, int]] = deque()
        self._due_ns = -1

    def add(self, point: int, packets: Iterable[Packet], now: float) -> None:
        """Take packets of a point, in its order."""
        before = len(self._held)
        self._held += [Seen(packet, point) for packet in packets]
        if len(self._held) > before:
            self._came.append((now, max(seen.packet.time_ns for seen in self._held[before:])))

    def due(self, now: float) -> list[Seen]:
        """Return what has been waited for long enough, and what is earlier; it is held no more."""
        while self._came and self._came[0][0] <= now - self._window_s:
            self._due_ns = max(self._due_ns, self._came.popleft()[1])
        if not self._held:
            return []
        # Of pieces that are in order already, which makes it cheap.
        self._held.sort(key=_time)
        count = bisect_right(self._held, self._due_ns, key=_time)
        due, self._held = self._held[:count], self._held[count:]
        return due

    def rest(self) -> list[Seen]:
        """Return all that is held."""
        rest, self._held = sorted(self._held, key=_time), []
        self._came.clear()
        return rest


def _time(seen: Seen) -> int:
    return seen.packet.time_ns
