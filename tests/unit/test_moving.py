"""A migration while it runs: what is counted of its packets, and how it is shown."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from fakevm.display.live import Below
from fakevm.display.moving import lines
from fakevm.lab import Lab
from fakevm.migrate.look import Look
from fakevm.migrate.request import MigrationRequest
from fakevm.probes.flows import GRACE_S, Flow
from fakevm.probes.tally import FlowNow, Tally
from fakevm.vms.requests import PortRequest
from tests.waiting import wait_until

FLOW = Flow(
    id="1", kind="udp", direction="to-vm", peer="b", address="10.0.0.7", peer_address="10.0.0.9"
)


def sent(*numbers: int) -> list[tuple[int, float]]:
    """Return packets of a flow of ten a second, sent in time."""
    return [(number, number / 10) for number in numbers]


def tally(*, since: float = 0) -> Tally:
    return Tally(FLOW, since=since)


def test_what_came_within_a_second_is_the_rate() -> None:
    one = tally()
    one.add(sent=sent(*range(30)), received=sent(*range(30)))
    assert one.now(2.9) == FlowNow(flow=FLOW, per_second=10, lost=0, silent_ms=0.0)
    assert one.now(3.4).per_second == 5
    assert one.now(3.4).silent_ms == pytest.approx(500)


def test_what_does_not_come_is_lost_when_it_can_t_be_under_way_any_more() -> None:
    one = tally()
    one.add(sent=sent(1, 2, 3), received=sent(1))
    assert one.now(0.2 + GRACE_S / 2).lost == 0
    assert one.now(0.25 + GRACE_S).lost == 1
    assert one.now(0.35 + GRACE_S).lost == 2
    # It was held up, and comes at last.
    one.add(sent=(), received=[(2, 0.9)])
    assert one.now(1.0).lost == 1


def test_who_receives_may_tell_it_before_who_sent() -> None:
    one = tally()
    one.add(sent=(), received=sent(1, 2))
    one.add(sent=sent(1, 2), received=())
    assert one.now(9.0).lost == 0


def test_what_was_sent_before_all_flowed_is_not_lost() -> None:
    one = tally(since=0.15)
    one.add(sent=sent(1, 2), received=())
    assert one.now(9.0).lost == 1


def test_a_look_is_lines() -> None:
    flow = FlowNow(flow=FLOW, per_second=100, lost=7, silent_ms=312.4)
    look = Look(vm="a\x1b", step="activate", actor="source", seconds=0.34, flows=(flow,))
    assert lines(look) == [
        "flow           packets/s  lost  silent",
        "UDP b → a\\x1b        100     7  312 ms",
        "activate (source)  0.3 s",
    ]
    assert lines(Look(vm="a", step="", actor="", seconds=0.0)) == []


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Have a terminal as stderr; give what reads it."""
    master, slave = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    stderr = os.fdopen(slave, "w")
    monkeypatch.setattr("sys.stderr", stderr)
    yield master
    # What could not be written to a terminal that is closed stays in it.
    with suppress(OSError):
        stderr.close()


def test_what_changes_stands_below_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = threading.Event()

    def draw() -> list[str]:
        drawn.set()
        return ["changes"]

    with terminal(monkeypatch) as screen:
        with Below() as below:
            below.say("one [bold]line[/]")
            below.draw(draw)
            assert drawn.wait(10)
            below.say("another line")
        said = ""
        # The cursor is there again, which is the last of it.
        while "\x1b[?25h" not in said:
            said += os.read(screen, 65536).decode()
        os.close(screen)
    assert "one [bold]line[/]" in said
    assert said.index("one ") < said.index("changes") < said.index("another line")
    assert "changes" not in said.rpartition("\x1b[2K")[2]


def test_a_terminal_that_is_closed_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as screen, Below() as below:
        os.close(screen)
        below.say("nobody reads that")


def test_a_migration_is_seen_while_it_runs(lab: Lab) -> None:
    port_id = lab.create_port(
        PortRequest(network="net", instance="vm", host="compute-1")
    ).row.port_id
    looks: list[Look] = []
    stop = threading.Event()

    def begin(look: object) -> None:
        assert callable(look)

        def watch() -> None:
            while not stop.wait(0.01):
                looks.append(look())

        threading.Thread(target=watch, daemon=True).start()

    lab.migrate(port_id, MigrationRequest(destination="compute-2"), on_begin=begin)
    wait_until("a look after the migration", lambda: looks and looks[-1].step == "", timeout_s=10)
    stop.set()
    assert {look.vm for look in looks} == {"vm"}
    assert all(look.seconds >= 0 for look in looks)
