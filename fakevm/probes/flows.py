"""What became of the probers' packets: pure functions, from records to a report's flows.

Packets of a flow are numbered by slots: the n-th is due n intervals after the flow's beginning, and
whoever sends then, the source or the destination, gives it this number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from fakevm.protocol.journal import StepTime
from fakevm.reports.migration import FlowReport, Moments, Samples, Split

# Who saw a packet: the VM's end on one host or the other, or the prober.
End = Literal["source", "destination", "prober"]

# What was sent less than this before the end, and has not come, may be under way.
GRACE_S = 0.3


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Packets in one direction: UDP, or echo requests, whose replies come back."""

    id: str
    kind: Literal["udp", "icmp"]
    direction: Literal["to-vm", "from-vm"]
    # The prober, as the user named it.
    peer: str
    # The migrating VM's address, and the prober's.
    address: str
    peer_address: str
    # Of UDP, where it is received.
    port: int = 0


@dataclass(frozen=True, kw_only=True)
class Records:
    """What one end saw of a flow: number and time of each packet, in any order.

    Of an echo the end that asks has both: it sends requests, and receives replies.
    """

    sent: Sequence[tuple[int, float]] = ()
    received: Sequence[tuple[int, float]] = ()


@dataclass(frozen=True, kw_only=True)
class Recording:
    """All that was seen of all flows, by flow and end."""

    flows: tuple[Flow, ...]
    ends: Mapping[str, Mapping[End, Records]]
    rate: float
    # Every flow flowed from here on; and when all was over.
    since: float | None = None
    until: float | None = None
    # What went wrong with the ends themselves, so that a loss may be none.
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A time without receptions, from one to the next; open: the next never came."""

    start: float
    end: float
    open: bool = False


def reports(
    recording: Recording, *, moments: Moments, steps: Sequence[StepTime] = ()
) -> tuple[FlowReport, ...]:
    """Return what became of all flows."""
    return tuple(
        report(
            flow,
            recording.ends.get(flow.id, {}),
            rate=recording.rate,
            moments=moments,
            steps=steps,
            since=recording.since,
            until=recording.until,
        )
        for flow in recording.flows
    )


def report(
    flow: Flow,
    ends: Mapping[End, Records],
    *,
    rate: float,
    moments: Moments,
    steps: Sequence[StepTime] = (),
    since: float | None = None,
    until: float | None = None,
) -> FlowReport:
    """Return what became of a flow's packets between two times, by default of all.

    lost        sent, and never received. What was sent in the last GRACE_S is left out, unless it
                or a later one came
    duplicated  received once more than it was sent
    reordered   received after one with a higher number (RFC 4737, Type-P-Reordered), copies aside
    longest gap the longest time between two receptions less one interval, in ms; the time from
                `since` to the first reception and that from the last one to `until` are gaps too

    A packet that was received has been sent, whether its sender says so or not.
    """
    interval = 1 / rate
    sent, received = _merged(ends, since)
    seen = sorted(t for _, t in (*sent, *received))
    since = seen[0] if since is None and seen else since
    until = seen[-1] if until is None and seen else until
    known, came = (Counter(seq for seq, _ in records) for records in (sent, received))
    if until is not None:
        newest = max(came, default=-1)
        sent = [(seq, t) for seq, t in sent if seq <= newest or t <= until - GRACE_S]
    lost = _lost(sent, came)
    first = first_new_path(flow, ends, moments)
    gap = None
    if since is not None and until is not None:
        times = [t for _, t in received]
        gap = longest_gap(times, since=since, until=until, interval=interval)
    return FlowReport(
        flow=flow.id,
        kind=flow.kind,
        direction=flow.direction,
        peer=flow.peer,
        address=flow.address,
        peer_address=flow.peer_address,
        sent=len(sent) + len(came.keys() - known.keys()),
        lost=len(lost),
        duplicated=sum(max(0, n - max(1, known[seq])) for seq, n in came.items()),
        reordered=reordered(seq for seq, _ in received),
        longest_gap_ms=_ms(gap.end - gap.start - interval) if gap else 0.0,
        gap_start=gap.start if gap else None,
        gap_end=gap.end if gap else None,
        gap_step=step_of(gap, steps, moments, interval=interval) if gap else "",
        gap_open=gap.open if gap else False,
        first_new_path=first,
        new_path_ms=_ms(first - moments.resumed) if first and moments.resumed else None,
        split=split(*(gap, moments, first, _next_sent(flow, gap, sent, moments)), interval=interval)
        if gap
        else None,
        samples=Samples(
            sent=_rounded(t for _, t in sent),
            received=_rounded(t for _, t in received),
            lost=_rounded(lost),
        ),
    )


def longest_gap(
    times: Sequence[float], *, since: float, until: float, interval: float
) -> Gap | None:
    """Return the longest gap between receptions in order, the first one of several.

    None if no two of them are further apart than they were sent. The time after the last reception
    counts only if it is longer than what may be under way.
    """
    marks = [since, *(t for t in times if t >= since)]
    gaps = [Gap(start=a, end=b) for a, b in pairwise(marks)]
    last = marks[-1]
    if until - last > max(GRACE_S, interval):
        gaps.append(Gap(start=last, end=until, open=True))
    longest = max(gaps, key=lambda gap: gap.end - gap.start, default=None)
    return longest if longest and longest.end - longest.start > interval else None


def reordered(numbers: Iterable[int]) -> int:
    """Return how many came after one with a higher number; of copies the first one counts."""
    late = 0
    highest: int | None = None
    seen: set[int] = set()
    for number in numbers:
        if number in seen:
            continue
        seen.add(number)
        if highest is not None and number < highest:
            late += 1
        else:
            highest = number
    return late


def first_new_path(flow: Flow, ends: Mapping[End, Records], moments: Moments) -> float | None:
    """Return when the first packet came by the new path, that is to or from the destination.

    What the destination receives came by it. What the prober receives did if only the destination
    sent it; a reply to the prober's own echo, if it came after the guest ran there.
    """
    there = ends.get("destination", Records())
    at_prober = ends.get("prober", Records()).received
    if (flow.kind, flow.direction) in (("udp", "to-vm"), ("icmp", "from-vm")):
        times = [t for _, t in there.received]
    elif flow.kind == "udp":
        before = {seq for seq, _ in ends.get("source", Records()).sent}
        new = {seq for seq, _ in there.sent} - before
        times = [t for seq, t in at_prober if seq in new]
    elif moments.resumed is not None:
        times = [t for _, t in at_prober if t >= moments.resumed]
    else:
        times = []
    return min(times, default=None)


def step_of(gap: Gap, steps: Sequence[StepTime], moments: Moments, *, interval: float) -> str:
    """Return the label of the step in which a gap began, "" before the first and after the last.

    The network was lost at some time in the interval that follows the last reception: in the
    guest's pause if that is in it, else when the next packet was due. Of several steps at once it
    is the one that began last; between two steps it is the one before.
    """
    due = gap.start + interval
    if moments.paused is not None and gap.start <= moments.paused <= due:
        due = moments.paused
    begun = [step for step in steps if step.start <= due]
    if not begun or due > max(step.end for step in steps):
        return ""
    running = [step for step in begun if due <= step.end]
    if running:
        return max(running, key=lambda step: step.start).label
    return max(begun, key=lambda step: step.end).label


def split(
    gap: Gap,
    moments: Moments,
    first: float | None,
    next_sent: float | None,
    *,
    interval: float,
) -> Split | None:
    """Return what a gap consists of; None if it is not the gap of the guest's pause.

    It is the time from when the first packet was missed, one interval after the last reception,
    to the gap's end. Of this, `activate` is what lies between the guest's pause and Neutron's
    answer, `path` what lies between that answer and the first packet by the new path, `unsent`
    what passed before the pause until `next_sent`, `own` all the rest. The three do not overlap,
    so that all four sum to the gap, and none is negative.
    """
    paused, activated = moments.paused, moments.activated
    if paused is None or activated is None:
        return None
    begin, end = gap.start + interval, gap.end
    arrived = max(activated, first if first is not None else end)
    if end <= paused or begin >= arrived:
        return None

    def within(start: float, stop: float) -> float:
        return max(0.0, min(stop, end) - max(start, begin))

    activate = within(paused, activated)
    path = within(activated, arrived)
    unsent = within(begin, min(next_sent, paused)) if next_sent is not None else 0.0
    asked = moments.activating if moments.activating is not None else paused
    ran = moments.resumed if moments.resumed is not None else activated
    return Split(
        activate_ms=_ms(activate),
        path_ms=_ms(path),
        unsent_ms=_ms(unsent),
        # Of the rounded ones, so that a reader's sum is right, too.
        own_ms=max(0.0, round(_ms(end - begin) - _ms(activate) - _ms(path) - _ms(unsent), 3)),
        handling_ms=_ms(within(paused, asked) + within(activated, min(ran, arrived))),
    )


def _next_sent(
    flow: Flow, gap: Gap, sent: Iterable[tuple[int, float]], moments: Moments
) -> float | None:
    """Return when the next packet after the last reception was sent; None if a pause came first.

    Of a guest that sends nothing more before its pause it is not known why: it may be ours.
    """
    times = (t for _, t in sent if t > gap.start)
    if flow.direction == "from-vm" and moments.paused is not None:
        times = (t for t in times if t < moments.paused)
    return min(times, default=None)


def _merged(
    ends: Mapping[End, Records], since: float | None
) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """Return all ends' records in the order of time, without packets that were sent before."""
    sent = [record for records in ends.values() for record in records.sent]
    received = [record for records in ends.values() for record in records.received]
    if since is not None:
        early = {seq for seq, t in sent if t < since}
        sent = [(seq, t) for seq, t in sent if seq not in early]
        received = [(seq, t) for seq, t in received if seq not in early and t >= since]
    return sorted(sent, key=_time), sorted(received, key=_time)


def _time(record: tuple[int, float]) -> float:
    return record[1]


def _lost(sent: Sequence[tuple[int, float]], came: Mapping[int, int]) -> list[float]:
    """Return when those were sent that did not come.

    Around the pause both hosts may send in the same slot, so that a number stands for two.
    """
    left = dict(came)
    lost = []
    # From the last one on: of two with one number the destination's is the likelier to come.
    for seq, t in reversed(sent):
        if left.get(seq, 0) > 0:
            left[seq] -= 1
        else:
            lost.append(t)
    return lost[::-1]


def _rounded(times: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(t, 6) for t in times)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
