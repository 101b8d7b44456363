"""Evidence as lines for a terminal: the most telling first, none too long, not too many. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fakevm.evidence import timeline
from fakevm.evidence.values import Moment, Pair
from fakevm.trace.values import Trace

LINES, COLUMNS = 200, 160

# Of these, at most so many lines.
_STATE, _WAYS, _MISSING = 25, 60, 10


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is told of a lab."""

    lab: str
    # As "ML2/OVS, Neutron 28.0.2"; "": nobody says.
    what: str
    since: float
    until: float
    # Each with the packet's way, or why there is none.
    ways: Sequence[tuple[Pair, Trace | str]] = ()
    state: Sequence[str] = ()
    moments: Sequence[Moment] = ()
    # What could not be had, and why.
    missing: Mapping[str, str]


def lines(told: Told, *, hide: Callable[[str], str]) -> tuple[str, ...]:
    """Return all of it: verdicts, what is not well, ways, the time line, what is missing.

    hide: returns a line without passwords.
    """
    began = datetime.fromtimestamp(told.since).strftime("%H:%M:%S")
    what = f" ({told.what})" if told.what else ""
    head = f"lab {told.lab}{what}: {told.until - told.since:.1f} s from {began} on"
    missing = _few(_grouped(told.missing), _MISSING)
    made = [
        head,
        *(f"{pair}: {verdict(found)}" for pair, found in told.ways),
        *_part("not as it should be, at the end:", _few(told.state, _STATE)),
        *_few(_ways(told.ways), _WAYS),
    ]
    last = _part("could not be had:", missing)
    # Its own head, and what is left out.
    room = LINES - len(made) - len(last) - 2
    few = timeline.chosen(told.moments, room)
    made += _part("what happened, in seconds from the beginning:", timeline.shown(few, told.since))
    if left := len(told.moments) - len(few):
        made.append(f"  … {left} less telling are in timeline.txt")
    # Half a password would not be known as one.
    return tuple(_cut(hide(line)) for line in [*made, *last][:LINES])


def verdict(found: Trace | str) -> str:
    """Return what became of a packet, or why nobody knows."""
    return found if isinstance(found, str) else found.verdict


def way(found: Trace) -> list[str]:
    """Return a packet's way, a line a hop."""
    hosts = max((len(hop.host) for hop in found.hops), default=0)
    places = max((len(hop.where) for hop in found.hops), default=0)
    return [f"{hop.host or '-':{hosts}}  {hop.where:{places}}  {hop.what}" for hop in found.hops]


def _ways(ways: Iterable[tuple[Pair, Trace | str]]) -> list[str]:
    made = []
    for pair, found in ways:
        if isinstance(found, Trace) and found.hops:
            made += _part(f"the way of {pair}:", way(found))
    return made


def _part(head: str, found: Sequence[str]) -> list[str]:
    return [head, *(f"  {line}" for line in found)] if found else []


def _few(found: Sequence[str], count: int) -> list[str]:
    if len(found) <= count:
        return list(found)
    return [*found[: count - 1], f"… and {len(found) - count + 1} more"]


def _grouped(missing: Mapping[str, str]) -> list[str]:
    """Return a line for each reason, with all that could not be had for it."""
    found: dict[str, list[str]] = {}
    for name, reason in missing.items():
        found.setdefault(reason, []).append(name)
    return [f"{reason}: {', '.join(names)}" for reason, names in found.items()]


def _cut(line: str) -> str:
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line.expandtabs(4))
    return shown if len(shown) <= COLUMNS else f"{shown[: COLUMNS - 1]}…"
