"""What happened when, of several who tell it, in one order: pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from fakevm.evidence.values import Kind, Moment
from fakevm.model import Entry

_ORDER: Sequence[Kind] = ("said", "error", "warning", "event", "step")

# Of one container's process; more of it stands in the file.
_OF_ONE = 30

# How long a step takes of which it is worth to be told.
_WORTH_S = 0.05


def of_test(steps: Iterable[tuple[float, str]]) -> Iterator[Moment]:
    """Yield what a test says that it did."""
    for time, text in steps:
        yield Moment(time=time, kind="said", who="test", text=text)


def of_events(entries: Iterable[Entry], names: Mapping[str, str]) -> Iterator[Moment]:
    """Yield Neutron's events, and steps, each with its end; names: of VMs, by their ids."""
    begun: dict[tuple[str, str, str], Entry] = {}
    for entry in entries:
        if entry.kind == "event":
            yield _event(entry, names)
        elif not entry.operation:
            # An outage: of no VM, and without an end of its own.
            undone = ", undone" if entry.status == "undone" else ""
            text = f"on purpose{undone}: {entry.name}"
            yield Moment(time=entry.time, kind="said", who=entry.source, text=text)
        elif entry.status == "started":
            begun[_key(entry)] = entry
        else:
            first = begun.pop(_key(entry), entry)
            yield _step(first, entry, names)
    for entry in begun.values():
        text = f"{_of(entry, names)}: {entry.name} ({entry.source}) has begun, and not ended"
        yield Moment(time=entry.time, kind="error", who="fakevm", text=text)


def _key(entry: Entry) -> tuple[str, str, str]:
    return entry.operation, entry.name, entry.source


def _of(entry: Entry, names: Mapping[str, str]) -> str:
    return names.get(entry.instance_id) or entry.instance_id[:8]


def _event(entry: Entry, names: Mapping[str, str]) -> Moment:
    port = f"port {entry.port_id[:8]} of " if entry.port_id else ""
    refused = f" (answered {entry.code})" if entry.code != 200 else ""
    return Moment(
        time=entry.time,
        kind="event" if entry.status == "completed" and not refused else "warning",
        who=f"{entry.source} → Nova",
        text=f"{entry.name} {entry.status}, {port}{_of(entry, names)}{refused}",
    )


def _step(first: Entry, last: Entry, names: Mapping[str, str]) -> Moment:
    took = last.time - first.time
    how = {"failed": " failed", "undone": " undone"}.get(last.status, "")
    after = f", {took:.1f} s" if took >= _WORTH_S else ""
    return Moment(
        time=first.time,
        kind="step" if last.status == "done" else "error",
        who="fakevm",
        text=f"{_of(first, names)}: {first.name} ({first.source}){how}{after}",
    )


def ordered(moments: Iterable[Moment]) -> list[Moment]:
    """Return moments in the order of time; what a test said comes before what followed."""
    return sorted(moments, key=lambda one: (one.time, _ORDER.index(one.kind)))


def chosen(moments: Sequence[Moment], room: int) -> list[Moment]:
    """Return so many at most, in their order: the most telling, of these the latest."""
    counts = Counter[str]()
    few = []
    # The latest: nearest to the failure.
    for one in reversed(moments):
        counts[one.who] += 1
        if counts[one.who] <= _OF_ONE or one.kind == "said":
            few.append(one)
    # The sort keeps the latest first among those of a kind.
    kept = sorted(few, key=lambda one: _ORDER.index(one.kind))[: max(0, room)]
    ids = {id(one) for one in kept}
    return [one for one in moments if id(one) in ids]


def shown(moments: Sequence[Moment], since: float) -> list[str]:
    """Return a line each, with the seconds since the beginning."""
    width = max((len(one.who) for one in moments), default=0)
    return [f"{one.time - since:+9.3f}  {one.who:{width}}  {_text(one, since)}" for one in moments]


def _text(one: Moment, since: float) -> str:
    if one.count == 1:
        return one.text
    return f"(×{one.count}, until {one.last - since:+.3f}) {one.text}"
