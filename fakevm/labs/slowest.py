"""Which phase of `up` took longest, and why: from what was seen to words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Of less nobody asks why.
LEAST_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Healthy:
    """A container that became healthy while the lab started."""

    service: str
    role: str
    # Since the start.
    after_s: float
    # How often it had ended before.
    ends: int = 0


def told(phases: Mapping[str, float], why: Mapping[str, str]) -> str:
    """Return a line on the longest phase, with its reason if that is known; "" of a short one."""
    name, seconds = max(phases.items(), key=lambda phase: phase[1], default=("", 0.0))
    if seconds < LEAST_S:
        return ""
    reason = why.get(name, "")
    return f"slowest: {name}, {seconds:.1f} s" + (f": {reason}" if reason else "")


def last_healthy(seen: Iterable[Healthy]) -> str:
    """Return which container was healthy last, and after which ones, that it waits for."""
    before = sorted(seen, key=lambda one: one.after_s)
    if not before:
        return ""
    last = before[-1]
    words = f"{last.service} was healthy last, after {last.after_s:.1f} s"
    while before:
        last = before.pop()
        if last.ends:
            words += f" and {last.ends} {'end' if last.ends == 1 else 'ends'}"
        before = [one for one in before if _place(one.role) < _place(last.role)]
        if before:
            waited = before[-1]
            words += (
                f"; {last.service} {last.after_s - waited.after_s:.1f} s after {waited.service}"
            )
    return words


def _place(role: str) -> int:
    """Return the place in the order of waiting: hosts for Neutron, that for what it needs."""
    if role in ("network", "compute"):
        return 2
    return 1 if role.startswith("neutron-") else 0
