"""Reading what Neutron tells Nova, and waiting for it, against nova-events itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from fakevm.clients.events import Events, cursor_at
from fakevm.clients.rpc import Connection
from fakevm.errors import FakevmError, NotFoundError, UnavailableError, WaitTimeoutError
from tests.fakes.engine import make_container
from tests.fakes.events import LocalNovaEvents
from tests.fakes.host import FakeStream
from tests.unit.conftest import World

VM = "11111111-0000-4000-8000-000000000001"
OTHER = "11111111-0000-4000-8000-000000000002"
PORT = "aaaaaaaa-0000-4000-8000-000000000001"
SECOND = "aaaaaaaa-0000-4000-8000-000000000002"
PLUGGED = "network-vif-plugged"


@pytest.fixture
def nova() -> Iterator[LocalNovaEvents]:
    nova = LocalNovaEvents()
    yield nova
    nova.close()


@pytest.fixture
def events(nova: LocalNovaEvents) -> Iterator[Events]:
    events = Events(lambda: Connection("nova-events", nova.stream(), timeout_s=5))
    events.register(VM, host="compute-1")
    yield events
    events.close()


def test_the_event_of_each_port_is_waited_for(nova: LocalNovaEvents, events: Events) -> None:
    waiter = events.waiter(VM, PLUGGED, [PORT, SECOND])
    nova.emit(PLUGGED, VM, SECOND)
    nova.emit(PLUGGED, VM, PORT)
    found = waiter.wait(5)
    assert {port_id: entry.port_id for port_id, entry in found.items()} == {
        PORT: PORT,
        SECOND: SECOND,
    }
    assert found[SECOND].seq < found[PORT].seq
    assert found[PORT].time == pytest.approx(time.time(), abs=5)
    assert waiter.missing == ()


def test_an_event_wakes_who_waits_already(nova: LocalNovaEvents, events: Events) -> None:
    waiter = events.waiter(VM, PLUGGED, [PORT])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waiter.wait, 30)
        nova.emit(PLUGGED, VM, PORT)
        assert set(waiting.result(10)) == {PORT}


def test_an_event_that_came_before_is_lost(nova: LocalNovaEvents, events: Events) -> None:
    nova.emit(PLUGGED, VM, PORT)
    waiter = events.waiter(VM, PLUGGED, [PORT])
    with pytest.raises(WaitTimeoutError, match=f"{PLUGGED} within 0.05 s for port {PORT}$"):
        waiter.wait(0.05)


def test_others_events_are_not_for_this_waiter(nova: LocalNovaEvents, events: Events) -> None:
    events.register(OTHER, host="compute-2")
    waiter = events.waiter(VM, PLUGGED, [PORT])
    nova.emit(PLUGGED, OTHER, PORT)
    nova.emit("network-vif-unplugged", VM, PORT)
    nova.emit(PLUGGED, VM, SECOND)
    events.record(PLUGGED, "done", source="test", instance_id=VM, port_id=PORT)
    with pytest.raises(WaitTimeoutError, match=PORT):
        waiter.wait(0.1)
    nova.emit(PLUGGED, VM, PORT)
    assert set(waiter.wait(5)) == {PORT}


def test_the_ports_that_are_missing_are_named(nova: LocalNovaEvents, events: Events) -> None:
    waiter = events.waiter(VM, PLUGGED, [PORT, SECOND])
    nova.emit(PLUGGED, VM, PORT)
    with pytest.raises(WaitTimeoutError) as caught:
        waiter.wait(0.1)
    assert SECOND in str(caught.value)
    assert PORT not in str(caught.value)
    assert SECOND in caught.value.hint
    assert waiter.missing == (SECOND,)


def test_a_port_that_is_left_out_is_not_waited_for(nova: LocalNovaEvents, events: Events) -> None:
    waiter = events.waiter(VM, PLUGGED, [PORT, SECOND])
    waiter.leave_out([SECOND])
    assert waiter.missing == (PORT,)
    waiter.leave_out([PORT])
    assert waiter.wait(0) == {}


def test_an_event_that_failed_is_an_error_and_the_others_can_still_come(
    nova: LocalNovaEvents, events: Events
) -> None:
    waiter = events.waiter(VM, PLUGGED, [PORT, SECOND])
    nova.emit(PLUGGED, VM, PORT, status="failed")
    nova.emit(PLUGGED, VM, SECOND)
    with pytest.raises(FakevmError, match=f"{PLUGGED} has failed for port {PORT}"):
        waiter.wait(5)
    found = waiter.wait(5)
    assert [found[port_id].status for port_id in (PORT, SECOND)] == ["failed", "completed"]


def test_an_event_that_nova_s_api_refuses_reaches_nobody(
    nova: LocalNovaEvents, events: Events
) -> None:
    events.register(VM, host=None)
    waiter = events.waiter(VM, PLUGGED, [PORT])
    assert nova.emit(PLUGGED, VM, PORT) == 422
    with pytest.raises(WaitTimeoutError, match="answered 422: the server is on no host"):
        waiter.wait(0.05)


def test_no_port_is_no_wait(events: Events) -> None:
    waiter = events.waiter(VM, PLUGGED, [])
    assert waiter.wait(0) == {}


def test_a_waiter_lives_through_a_restart_and_its_server_is_known_again(
    nova: LocalNovaEvents, events: Events
) -> None:
    waiter = events.waiter(VM, PLUGGED, [PORT])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waiter.wait, 30)
        nova.stop()
        nova.start()
        deadline = time.monotonic() + 10
        while nova.emit(PLUGGED, VM, PORT) != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert waiting.result(10)[PORT].code == 200


def test_a_connection_made_anew_brings_no_old_news(nova: LocalNovaEvents) -> None:
    streams: list[FakeStream] = []

    def connect() -> Connection:
        streams.append(nova.stream())
        return Connection("nova-events", streams[-1], timeout_s=5)

    first, second = Events(connect), Events(connect)
    first.register(VM, host="compute-1")
    second.register(VM, host="compute-2")
    streams[0].close()
    assert first.server(VM).host == "compute-2"
    assert nova.streams == 3
    first.close()
    second.close()


def test_what_is_followed_comes_in_order_over_a_restart(
    nova: LocalNovaEvents, events: Events
) -> None:
    after = events.cursor()
    seen: list[str] = []
    enough = threading.Event()

    def follow() -> None:
        for batch in events.follow(after):
            seen.extend(entry.port_id for entry in batch)
            if len(seen) == 4:
                enough.set()
                return

    follower = threading.Thread(target=follow)
    follower.start()
    nova.emit(PLUGGED, VM, "1")
    nova.emit(PLUGGED, VM, "2")
    deadline = time.monotonic() + 5
    while len(seen) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    nova.stop()
    nova.start()
    nova.emit(PLUGGED, VM, "3")
    nova.emit(PLUGGED, VM, "4")
    assert enough.wait(10)
    follower.join(5)
    assert seen == ["1", "2", "3", "4"]


def test_steps_have_arrived_when_the_connection_is_closed(
    nova: LocalNovaEvents, events: Events
) -> None:
    after = events.cursor()
    writer = Events(lambda: Connection("nova-events", nova.stream(), timeout_s=5))
    for number in range(100):
        writer.record(str(number), "done", source="source", instance_id=VM, operation="m")
    writer.close()
    found = events.kept(after)
    assert [entry.name for entry in found] == [str(number) for number in range(100)]
    assert {(entry.kind, entry.code, entry.operation) for entry in found} == {("step", 0, "m")}


def test_all_that_is_kept_is_read_over_pages(nova: LocalNovaEvents, events: Events) -> None:
    after = events.cursor()
    for number in range(1200):
        instance_id = VM if number % 2 else OTHER
        events.record(str(number), "done", source="source", instance_id=instance_id)
    names = [entry.name for entry in events.kept(after, instance_ids=[VM])]
    assert names == [str(number) for number in range(1, 1200, 2)]
    assert len(events.kept(after)) == 1200


def test_a_step_that_can_t_be_noted_is_no_failure() -> None:
    def connect() -> Connection:
        raise UnavailableError("the lab's nova-events is exited")

    events = Events(connect)
    events.record("plug", "done", source="source", instance_id=VM)
    with pytest.raises(UnavailableError, match="exited"):
        events.cursor()
    events.close()


def test_a_service_that_never_answered_is_not_waited_for(nova: LocalNovaEvents) -> None:
    nova.start()
    nova.stop()
    nova.streams = 1
    events = Events(lambda: Connection("nova-events", nova.stream(), timeout_s=5))
    start = time.monotonic()
    with pytest.raises(UnavailableError, match="nova-events: the connection to the service ended"):
        events.cursor()
    assert time.monotonic() - start < 2
    events.close()


def test_a_time_is_a_cursor(nova: LocalNovaEvents, events: Events) -> None:
    nova.emit(PLUGGED, VM, PORT)
    (first,) = events.kept()
    assert events.kept(cursor_at(first.time)) == [first]
    assert events.kept(cursor_at(first.time + 1)) == []


def test_a_lab_has_them(world: World) -> None:
    with world.lab() as lab:
        lab.events.register(VM, host="compute-1")
        assert world.events.emit(PLUGGED, VM, PORT) == 200
        assert [entry.name for entry in lab.events.kept()] == [PLUGGED]


def test_a_lab_without_the_service_is_told(world: World) -> None:
    world.engine.end("nova-events")
    with world.lab() as lab, pytest.raises(UnavailableError, match="nova-events is exited"):
        lab.events.cursor()
    world.engine.all_containers = [make_container("mariadb")]
    with world.lab() as lab, pytest.raises(UnavailableError, match="nova-events is missing"):
        lab.events.cursor()
    world.engine.all_containers = []
    with world.lab() as lab, pytest.raises(NotFoundError, match="no lab"):
        lab.events.cursor()
