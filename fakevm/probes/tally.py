"""What became of a flow's packets so far, while they flow: each record is looked at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from fakevm.probes.flows import GRACE_S, Flow

# Of how long packets a second are told.
RATE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class FlowNow:
    """A flow while it flows."""

    flow: Flow
    # Received in the last second.
    per_second: int
    # Sent, and not received within GRACE_S; what comes later is none any more.
    lost: int
    # How long nothing has come.
    silent_ms: float


class Tally:
    """Counts one flow's packets from `since` on, in any order of telling.

    Around the pause both hosts may send in the same slot: here such a number stands for one packet.
    """

    def __init__(self, flow: Flow, *, since: float) -> None:
        self._flow = flow
        self._since = since
        # Sent and not received, with their times, the older ones first; and those that are too old.
        self._under_way: dict[int, float] = {}
        self._lost: set[int] = set()
        self._came: set[int] = set()
        self._recent: deque[float] = deque()
        self._last = since

    def add(
        self, *, sent: Iterable[tuple[int, float]], received: Iterable[tuple[int, float]]
    ) -> None:
        """Take what the flow's ends have told anew."""
        for seq, t in received:
            if t >= self._since:
                self._came.add(seq)
                self._under_way.pop(seq, None)
                self._lost.discard(seq)
                self._recent.append(t)
                self._last = max(self._last, t)
        for seq, t in sent:
            if t >= self._since and seq not in self._came:
                self._under_way.setdefault(seq, t)

    def now(self, time: float) -> FlowNow:
        """Return what became of them by this time, of the same clock as the records'."""
        while self._recent and self._recent[0] <= time - RATE_S:
            self._recent.popleft()
        while self._under_way:
            seq = next(iter(self._under_way))
            if self._under_way[seq] > time - GRACE_S:
                break
            del self._under_way[seq]
            self._lost.add(seq)
        return FlowNow(
            flow=self._flow,
            per_second=len(self._recent),
            lost=len(self._lost),
            silent_ms=max(0.0, time - self._last) * 1000,
        )
