"""Probers' packets around a migration, without a network: what each end would have seen."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from fakevm.probes.flows import End, Flow, Records
from fakevm.reports.migration import Moments

DELAY_S = 0.0005


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """A packet each `1 / rate` seconds from `start` to `end`, and what happens to them.

    Without `moments` nothing migrates. `path_from`: from then on the new path leads to the VM.
    Numbers in `dropped` are lost on the way, those in `doubled` come twice, those in `late` come
    so many seconds later. `silences` are times in which nothing gets through, `idle` those in which
    nobody sends.
    """

    start: float = 1000.0
    end: float = 1010.0
    rate: float = 100.0
    moments: Moments = field(default_factory=Moments)
    path_from: float = 0.0
    dropped: Set[int] = frozenset()
    doubled: Set[int] = frozenset()
    late: Mapping[int, float] = field(default_factory=dict)
    silences: tuple[tuple[float, float], ...] = ()
    idle: tuple[tuple[float, float], ...] = ()

    def ends(self, flow: Flow) -> dict[End, Records]:
        """Return what the ends of a flow saw."""
        sent: dict[End, list[tuple[int, float]]] = {}
        received: dict[End, list[tuple[int, float]]] = {}
        for seq in range(round((self.end - self.start) * self.rate)):
            t = self.start + seq / self.rate
            sender = "prober" if flow.direction == "to-vm" else self._vm(t)
            if sender is None or _within(self.idle, t):
                continue
            sent.setdefault(sender, []).append((seq, t))
            receiver = self._receiver(flow, t)
            if seq in self.dropped or receiver is None:
                continue
            delay = DELAY_S * (1 if flow.kind == "udp" else 2) + self.late.get(seq, 0.0)
            for copy in range(2 if seq in self.doubled else 1):
                came = t + delay + copy * 0.0002
                received.setdefault(receiver, []).append((seq, came))
        return {
            end: Records(sent=sent.get(end, []), received=received.get(end, []))
            for end in sent.keys() | received.keys()
        }

    def _vm(self, t: float) -> End | None:
        """Return where the VM runs."""
        paused, resumed = self.moments.paused, self.moments.resumed
        if paused is None or t < paused:
            return "source"
        return "destination" if resumed is not None and t >= resumed else None

    def _receiver(self, flow: Flow, t: float) -> End | None:
        vm = self._vm(t)
        if vm is None or (vm == "destination" and t < self.path_from):
            return None
        if _within(self.silences, t):
            return None
        if flow.kind == "udp":
            return vm if flow.direction == "to-vm" else "prober"
        return "prober" if flow.direction == "to-vm" else vm


def _within(times: tuple[tuple[float, float], ...], t: float) -> bool:
    return any(begin <= t < end for begin, end in times)
