"""Where the time of a request goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fakevm.neutron.api import Neutron


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Where the time of a `create_port` went, in seconds."""

    # Until Neutron can be asked: imports and connections, once a process.
    startup_s: float
    neutron_s: float
    plug_s: float
    active_s: float
    configure_s: float
    # All the rest, which is ours; with the wait for another act on the same VM, if there is one.
    other_s: float
    total_s: float


class Clock:
    """Splits the time since `start`; what passed until now was the start-up."""

    def __init__(self, neutron: Neutron, *, start: float) -> None:
        self._neutron = neutron
        self._start = start
        self._ready = time.monotonic()
        self._neutron_before = neutron.seconds
        self._parts = {"plug": 0.0, "active": 0.0, "configure": 0.0}

    @contextmanager
    def measured(self, part: str) -> Iterator[None]:
        """Count the block's time to a part, and to no other."""
        start, neutron_before = time.monotonic(), self._neutron.seconds
        yield
        self._parts[part] += time.monotonic() - start
        self._neutron_before += self._neutron.seconds - neutron_before

    def timings(self) -> Timings:
        """Return the parts and what is left of the whole."""
        now = time.monotonic()
        neutron = self._neutron.seconds - self._neutron_before
        parts = {f"{name}_s": round(value, 4) for name, value in self._parts.items()}
        other = now - self._ready - neutron - sum(self._parts.values())
        return Timings(
            startup_s=round(self._ready - self._start, 4),
            neutron_s=round(neutron, 4),
            other_s=round(other, 4),
            total_s=round(now - self._start, 4),
            **parts,
        )
