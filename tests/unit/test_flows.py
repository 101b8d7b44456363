"""What is said of a flow is what happened to its packets."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from fakevm.probes import flows
from fakevm.probes.flows import GRACE_S, End, Flow, Gap, Records
from fakevm.protocol.journal import StepTime
from fakevm.reports.migration import FlowReport, Moments
from tests.fakes.traffic import DELAY_S, Traffic

RATE = 100.0
INTERVAL = 1 / RATE
INTERVAL_MS = 1000 / RATE

FLOWS = [
    Flow(
        id=f"{kind} {direction}",
        kind=kind,
        direction=direction,
        peer="vm2",
        address="10.0.0.7",
        peer_address="10.0.0.9",
    )
    for kind in ("udp", "icmp")
    for direction in ("to-vm", "from-vm")
]
UDP_TO, UDP_FROM, PING_TO, PING_FROM = FLOWS

MOVED = Moments(paused=1004.003, activating=1004.008, activated=1004.490, resumed=1004.497)
PATH = 1005.02

STEPS = [
    StepTime(name="bind", actor="conductor", start=1001.0, end=1001.3),
    StepTime(name="wait", actor="source", start=1001.3, end=1003.999),
    StepTime(name="pause", actor="source", start=1003.999, end=1004.0035),
    StepTime(name="activate", actor="source", start=1004.0036, end=1004.490),
    StepTime(name="resume", actor="destination", start=1004.4905, end=1004.4975),
    StepTime(name="unbind", actor="destination", start=1004.6, end=1004.9),
    StepTime(name="wait for ACTIVE", actor="destination", start=1004.9, end=1005.1),
]

every_flow = pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.id)


def said(flow: Flow, traffic: Traffic, **others: Any) -> FlowReport:
    return made(flow, traffic.ends(flow), moments=traffic.moments, **others)


def made(flow: Flow, ends: Mapping[End, Records], **others: Any) -> FlowReport:
    return flows.report(flow, ends, **{"rate": RATE, "moments": Moments(), **others})


@every_flow
def test_where_nothing_happens_nothing_is_lost(flow: Flow) -> None:
    report = said(flow, Traffic())
    assert (report.sent, report.lost, report.duplicated, report.reordered) == (1000, 0, 0, 0)
    assert report.longest_gap_ms == pytest.approx(0, abs=0.01)
    assert (report.first_new_path, report.split, report.gap_open) == (None, None, False)


@every_flow
def test_lost_packets_are_told_with_when_they_were_sent(flow: Flow) -> None:
    report = said(flow, Traffic(dropped={10, 500, 501}))
    assert (report.sent, report.lost) == (1000, 3)
    assert report.samples.lost == (1000.1, 1005.0, 1005.01)
    assert report.longest_gap_ms == pytest.approx(2 * INTERVAL_MS)
    assert report.gap_start is not None
    assert report.gap_start == pytest.approx(1004.99, abs=2 * DELAY_S)


@every_flow
def test_copies_are_duplicates_and_not_reordered(flow: Flow) -> None:
    report = said(flow, Traffic(doubled={0, 7, 999}))
    assert (report.sent, report.lost, report.duplicated, report.reordered) == (1000, 0, 3, 0)


@every_flow
def test_what_comes_after_a_later_one_is_reordered(flow: Flow) -> None:
    # 20 comes after 21 and 22; 30 only just before 31.
    report = said(flow, Traffic(late={20: 0.025, 30: 0.009}))
    assert (report.lost, report.duplicated, report.reordered) == (0, 0, 1)


@pytest.mark.parametrize(
    ("numbers", "late"),
    [
        ([], 0),
        ([1, 2, 3], 0),
        ([5, 9, 9, 12], 0),
        # As RFC 4737 counts: all that are lower than what came before, not the one that overtook.
        ([1, 4, 2, 3, 5], 2),
        ([3, 2, 1], 2),
        ([1, 3, 2, 2, 2], 1),
    ],
)
def test_reordering_is_counted_as_rfc_4737_does(numbers: list[int], late: int) -> None:
    assert flows.reordered(numbers) == late


@every_flow
@pytest.mark.parametrize("length", [0.05, 0.2, 1.0431, 3.0])
def test_a_known_gap_is_measured_within_an_interval(flow: Flow, length: float) -> None:
    randoms = random.Random(length)
    for _ in range(4):
        start = randoms.uniform(1002, 1006)
        report = said(flow, Traffic(silences=((start, start + length),)))
        assert report.longest_gap_ms == pytest.approx(length * 1000, abs=INTERVAL_MS)
        assert report.gap_start is not None
        assert report.gap_start == pytest.approx(start, abs=INTERVAL + 2 * DELAY_S)
        assert report.lost == pytest.approx(length * RATE, abs=1)


@every_flow
def test_a_migrations_gap_is_split(flow: Flow) -> None:
    report = said(flow, Traffic(moments=MOVED, path_from=PATH), steps=STEPS)
    assert report.longest_gap_ms == pytest.approx(1017, abs=INTERVAL_MS)
    assert report.gap_step == "pause"
    assert report.first_new_path == report.gap_end
    assert report.new_path_ms == pytest.approx((PATH - 1004.497) * 1000, abs=INTERVAL_MS + 1)
    split = report.split
    assert split is not None
    assert split.activate_ms == pytest.approx(487, abs=INTERVAL_MS)
    assert split.path_ms == pytest.approx(530, abs=INTERVAL_MS + 1)
    assert split.own_ms <= INTERVAL_MS
    # 5 ms to the request, less what the last packet hides of it, and 7 ms until the guest ran.
    assert 7 <= split.handling_ms <= 12


@every_flow
def test_a_prober_that_does_not_send_explains_a_part_of_the_gap(flow: Flow) -> None:
    idle, lossy = (1003.7, 1003.95), (1003.95, MOVED.paused or 0.0)
    traffic = Traffic(moments=MOVED, path_from=PATH, idle=(idle,), silences=(lossy,))
    split = said(flow, traffic).split
    assert split is not None
    assert split.unsent_ms == pytest.approx(250, abs=INTERVAL_MS)
    assert split.own_ms == pytest.approx(50, abs=INTERVAL_MS)


@every_flow
def test_that_a_guest_falls_silent_before_its_pause_may_be_ours(flow: Flow) -> None:
    idle = Traffic(moments=MOVED, path_from=PATH, idle=((1003.9, 1004.2),))
    split = said(flow, idle).split
    assert split is not None
    told, other = split.unsent_ms, split.own_ms
    if flow.direction == "from-vm":
        told, other = other, told
    assert told == pytest.approx(100, abs=INTERVAL_MS)
    assert other <= INTERVAL_MS


@every_flow
def test_what_a_paused_guest_does_not_send_is_not_lost(flow: Flow) -> None:
    report = said(flow, Traffic(moments=MOVED, path_from=PATH))
    if flow.direction == "to-vm":
        assert (report.sent, report.lost) == (1000, 101)
    else:
        assert (report.sent, report.lost) == (951, 52)


def test_the_parts_of_a_gap_sum_to_it_and_none_is_negative() -> None:
    randoms = random.Random(4737)
    splits = 0
    for _ in range(60):
        paused = randoms.uniform(1002, 1005)
        activating = paused + randoms.uniform(0, 0.05)
        activated = activating + randoms.uniform(0, 1)
        resumed = activated + randoms.uniform(0, 0.05)
        traffic = Traffic(
            moments=Moments(
                paused=paused, activating=activating, activated=activated, resumed=resumed
            ),
            path_from=resumed + randoms.choice([-0.1, randoms.uniform(0, 2), 100]),
            dropped={randoms.randrange(1000) for _ in range(randoms.choice([0, 0, 5, 300]))},
            late={randoms.randrange(1000): randoms.uniform(0, 0.2)},
            silences=((paused - randoms.uniform(0, 0.5), paused),) * randoms.choice([0, 0, 1]),
            idle=((paused - randoms.uniform(0, 0.5), paused),) * randoms.choice([0, 0, 1]),
        )
        for flow in FLOWS:
            report = said(flow, traffic, until=1010.0)
            if split := report.split:
                splits += 1
                parts = (split.activate_ms, split.path_ms, split.unsent_ms, split.own_ms)
                assert sum(parts) == pytest.approx(report.longest_gap_ms, abs=0.002)
                assert min(*parts, split.handling_ms) >= 0
                assert split.handling_ms <= split.activate_ms + split.path_ms + 0.002
    assert splits > 120


@pytest.mark.parametrize("seed", range(6))
def test_every_packet_is_accounted_for(seed: int) -> None:
    randoms = random.Random(seed)
    dropped = {randoms.randrange(960) for _ in range(randoms.randrange(400))}
    doubled = {randoms.randrange(960) for _ in range(randoms.randrange(100))}
    late = {randoms.randrange(1000): randoms.uniform(0, 0.5) for _ in range(50)}
    for flow in FLOWS:
        report = said(flow, Traffic(dropped=dropped, doubled=doubled, late=late))
        assert report.lost == len(dropped)
        assert report.duplicated == len(doubled - dropped)
        assert len(report.samples.received) == report.sent - report.lost + report.duplicated
        assert len(report.samples.lost) == report.lost
        assert list(report.samples.received) == sorted(report.samples.received)


@every_flow
def test_a_gap_elsewhere_is_not_split(flow: Flow) -> None:
    traffic = Traffic(moments=MOVED, path_from=PATH, silences=((1001.1, 1003.2),))
    report = said(flow, traffic, steps=STEPS)
    assert report.longest_gap_ms == pytest.approx(2100, abs=INTERVAL_MS)
    assert report.gap_step == "bind"
    assert report.split is None


@every_flow
def test_what_never_comes_back_is_a_gap_to_the_end(flow: Flow) -> None:
    report = said(flow, Traffic(moments=MOVED, path_from=10**9), steps=STEPS, until=1010.0)
    assert report.gap_open
    assert report.gap_end == 1010.0
    assert report.longest_gap_ms == pytest.approx(5997, abs=INTERVAL_MS)
    assert report.first_new_path is None
    assert report.new_path_ms is None
    split = report.split
    assert split is not None
    assert split.path_ms == pytest.approx(5510, abs=0.1)


@every_flow
def test_everything_lost_is_one_gap(flow: Flow) -> None:
    report = said(flow, Traffic(dropped=frozenset(range(1000))), since=999.9, until=1010.0)
    # The last ones may be under way.
    assert report.sent == report.lost == pytest.approx(1000 - GRACE_S * RATE, abs=1)
    assert (report.gap_start, report.gap_end, report.gap_open) == (999.9, 1010.0, True)
    assert report.longest_gap_ms == pytest.approx(10_100 - INTERVAL_MS)


@every_flow
def test_what_is_under_way_at_the_end_is_not_lost(flow: Flow) -> None:
    report = said(flow, Traffic(dropped=frozenset(range(980, 1000))))
    assert (report.sent, report.lost, report.gap_open) == (980, 0, False)


@every_flow
def test_what_a_later_one_overtook_is_lost_even_at_the_end(flow: Flow) -> None:
    report = said(flow, Traffic(dropped=frozenset(range(980, 999))))
    assert (report.sent, report.lost) == (1000, 19)


@every_flow
def test_without_records_nothing_is_claimed(flow: Flow) -> None:
    report = made(flow, {})
    assert (report.sent, report.lost, report.longest_gap_ms) == (0, 0, 0.0)
    assert (report.gap_start, report.gap_end, report.gap_open) == (None, None, False)


@every_flow
def test_a_flow_that_never_flowed_is_a_gap_all_the_time(flow: Flow) -> None:
    report = made(flow, {}, since=1000.0, until=1003.0)
    assert (report.sent, report.gap_open) == (0, True)
    assert report.longest_gap_ms == pytest.approx(3000 - INTERVAL_MS)


@every_flow
def test_packets_from_before_do_not_count(flow: Flow) -> None:
    # The ends start one after the other: what was sent before all were there proves nothing.
    report = said(flow, Traffic(dropped=frozenset(range(100))), since=1001.0)
    assert (report.sent, report.lost) == (900, 0)
    assert report.longest_gap_ms < 1


def test_of_a_silent_sender_what_came_was_sent() -> None:
    ends = Traffic(moments=MOVED, path_from=PATH).ends(UDP_FROM)
    report = made(UDP_FROM, {"prober": ends["prober"]}, moments=MOVED)
    assert (report.sent, report.lost) == (899, 0)
    assert report.longest_gap_ms == pytest.approx(1017, abs=INTERVAL_MS)
    assert report.first_new_path is None


def test_of_a_silent_receiver_all_is_lost() -> None:
    ends = Traffic().ends(UDP_TO)
    report = made(UDP_TO, {"prober": ends["prober"]})
    assert report.lost == report.sent > 960


def test_a_number_that_both_hosts_sent_is_no_duplicate() -> None:
    ends: dict[End, Records] = {
        "source": Records(sent=[(0, 0.0), (1, 0.01)]),
        "destination": Records(sent=[(1, 0.019), (2, 0.02)]),
        "prober": Records(received=[(0, 0.001), (1, 0.011), (1, 0.02), (2, 0.021)]),
    }
    report = made(UDP_FROM, ends)
    assert (report.sent, report.lost, report.duplicated) == (4, 0, 0)
    assert report.first_new_path == 0.021, "the first that the destination alone has sent"
    one_lost = {**ends, "prober": Records(received=[(0, 0.001), (1, 0.02), (2, 0.021)])}
    report = made(UDP_FROM, one_lost, until=1.0)
    assert (report.lost, report.samples.lost) == (1, (0.01,))


@pytest.mark.parametrize(
    ("at", "label"),
    [
        (999.0, ""),
        (1000.995, "bind"),
        (1002.0, "wait"),
        # The pause lies in the interval after it.
        (1003.994, "pause"),
        (1004.003, "pause"),
        (1004.0031, "activate"),
        # Between two steps: the one before.
        (1004.55, "resume"),
        (1004.7, "unbind"),
        (1009.0, ""),
    ],
)
def test_a_gap_is_put_down_to_a_step(at: float, label: str) -> None:
    gap = Gap(start=at, end=at + 1)
    assert flows.step_of(gap, STEPS, MOVED, interval=INTERVAL) == label


def test_of_two_steps_at_once_it_is_the_later_one() -> None:
    steps = [
        StepTime(name="wait", actor="source", start=1.0, end=5.0),
        StepTime(name="announce", actor="destination", start=2.0, end=3.0, outcome="failed"),
        StepTime(name="announce", actor="destination", start=3.5, end=4.0, outcome="undone"),
    ]

    def step(at: float) -> str:
        return flows.step_of(Gap(start=at, end=9.0), steps, Moments(), interval=0.0)

    assert [step(at) for at in (1.5, 2.5, 3.2, 3.7, 4.5)] == [
        "wait",
        "announce",
        "wait",
        "undo announce",
        "wait",
    ]


def test_a_lost_echo_costs_both_directions_the_same() -> None:
    traffic = Traffic(moments=replace(MOVED, resumed=None))
    to, back = (said(flow, traffic, until=1010.0) for flow in (PING_TO, PING_FROM))
    assert to.longest_gap_ms == pytest.approx(back.longest_gap_ms, abs=1)
    assert (to.first_new_path, back.first_new_path) == (None, None)
