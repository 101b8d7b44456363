"""The live page: what it is told, who may ask, and what it may ask for."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest

from fakevm.clients.events import Events
from fakevm.errors import ConflictError, FakevmError
from fakevm.lab import Lab
from fakevm.model import Entry
from fakevm.reach.graph import Graph
from fakevm.ui.feed import Feed
from fakevm.ui.moves import Moves, prober
from fakevm.ui.server import BODY, Server, serving
from fakevm.vms.requests import PortRequest
from tests.fakes.probe import FakeNet
from tests.unit.conftest import World
from tests.waiting import wait_until


@pytest.fixture
def server(world: World, net: FakeNet) -> Iterator[Server]:
    with world.lab() as lab:
        for name, host in (("db", "compute-1"), ("web", "compute-2")):
            lab.create_port(PortRequest(network="net", instance=name, host=host))

    with serving("fakevm", world.lab_saying, look_s=0.05) as server:
        yield server


def ask(
    server: Server, path: str, *, body: object = None, **headers: str
) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    sent = {"Authorization": f"Bearer {server.token}", **headers}
    connection.request("GET" if data is None else "POST", path, data, sent)
    answer = connection.getresponse()
    return answer, answer.read()


def state(server: Server, after: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask(server, f"/state?after={after}")[1])
    return found


def seen(server: Server) -> dict[str, Any]:
    """Return the first state that has the lab."""
    found = state(server)
    while not found["svg"]:
        found = state(server, found["version"])
    return found


def events(told: dict[str, Any]) -> set[str]:
    return {event["name"] for event in told["events"]}


def test_a_page_is_told_the_lab_and_every_change(server: Server, world: World) -> None:
    told = seen(server)
    assert {vm["name"]: vm["host"] for vm in told["vms"].values()} == {
        "web": "compute-2",
        "db": "compute-1",
    }
    (port,) = next(vm for vm in told["vms"].values() if vm["name"] == "web")["ports"]
    assert (port["status"], port["differs"]) == ("ACTIVE", "")
    assert port["addresses"]
    assert told["svg"].startswith("<svg")
    wait_until("an event", lambda: "network-vif-plugged" in events(state(server)))
    with world.lab() as lab:
        lab.create_port(PortRequest(network="net", instance="third", host="compute-3"))
    later = told
    while "third" not in {vm["name"] for vm in later["vms"].values()}:
        later = state(server, later["version"])
    assert later["version"] > told["version"]


def test_what_is_wrong_is_told_and_goes(server: Server, world: World) -> None:
    seen(server)
    containers = world.engine.all_containers
    world.engine.all_containers = []
    wait_until("the trouble", lambda: "there is no lab" in state(server)["trouble"])
    assert state(server)["svg"]
    world.engine.all_containers = containers
    wait_until("the end of the trouble", lambda: state(server)["trouble"] == "")


def test_a_bug_is_told_and_the_page_goes_on(world: World) -> None:
    bugs = [KeyError("network")]

    class Buggy(Lab):
        def graph(self) -> Graph:
            if bugs:
                raise bugs[0]
            return super().graph()

    def open_lab() -> Lab:
        return Buggy(engine=world.engine, neutron=world.neutron, open_stream=world.stream)

    with Feed(open_lab, look_s=0.01) as feed:
        state = feed.after(0, timeout_s=5)
        assert state.trouble == "a bug: KeyError: 'network'"
        bugs.clear()
        wait_until("the end of the trouble", lambda: not feed.after(0, timeout_s=1).trouble)
        assert feed.after(0, timeout_s=1).svg


def test_a_bug_among_the_events_is_told_and_the_page_hears_again(world: World) -> None:
    bugs = [KeyError("cursor")]

    class Buggy(Lab):
        @cached_property
        def events(self) -> Events:
            return Deaf(super().events)

    class Deaf(Events):
        def __init__(self, events: Events) -> None:
            self._events = events

        def read(self, *args: Any, **options: Any) -> tuple[list[Entry], int]:
            if bugs:
                raise bugs[0]
            return self._events.read(*args, **options)

        def close(self) -> None:
            self._events.close()

    def open_lab() -> Lab:
        return Buggy(engine=world.engine, neutron=world.neutron, open_stream=world.stream)

    with Feed(open_lab, look_s=0.01) as feed:
        wait_until("the bug", lambda: feed.after(0, timeout_s=1).deaf)
        assert feed.after(0, timeout_s=1).deaf == "a bug: KeyError: 'cursor'"
        wait_until("the picture", lambda: feed.after(0, timeout_s=1).svg)
        # A look that is well does not hide it.
        assert (feed.after(0, timeout_s=1).deaf, feed.after(0, timeout_s=1).trouble) == (
            "a bug: KeyError: 'cursor'",
            "",
        )
        bugs.clear()
        wait_until("the end of the bug", lambda: not feed.after(0, timeout_s=1).deaf)
        with world.lab() as lab:
            lab.create_port(PortRequest(network="net", instance="web", host="compute-2"))
        wait_until("an event", lambda: feed.after(0, timeout_s=1).events)


def test_events_are_heard_again_of_a_service_that_begins_later(world: World) -> None:
    world.engine.end("nova-events")
    with Feed(world.lab, look_s=0.01) as feed:
        wait_until("the picture", lambda: feed.after(0, timeout_s=1).svg)
        world.engine.begin("nova-events")
        with world.lab() as lab:
            lab.create_port(PortRequest(network="net", instance="web", host="compute-2"))
        wait_until("an event", lambda: feed.after(0, timeout_s=1).events)


def graph_of(world: World) -> Graph:
    """Return a lab with a VM web on compute-2."""
    with world.lab() as lab:
        lab.create_port(PortRequest(network="net", instance="web", host="compute-2"))
        return lab.graph()


def web_of(graph: Graph) -> str:
    return next(node.id for node in graph.nodes if node.label == "web")


def test_a_migration_that_meets_a_bug_has_failed(world: World) -> None:
    def open_lab(_say: object) -> Lab:
        raise KeyError("network")

    graph = graph_of(world)
    moves = Moves(open_lab, tell=lambda: None)
    moves.start(graph, web_of(graph), "compute-3")
    moves.finish()
    (move,) = moves.told()
    assert (move["state"], move["verdict"]) == ("failed", "a bug: KeyError: 'network'")
    assert moves.running == []


def test_a_page_that_ends_waits_for_what_runs_and_starts_nothing(world: World) -> None:
    graph = graph_of(world)
    go_on = threading.Event()

    class Slow(Lab):
        def migrate(self, *_args: Any, **_options: Any) -> Any:
            assert go_on.wait(10)

    def open_lab(_say: object) -> Lab:
        return Slow(engine=world.engine, neutron=world.neutron, open_stream=world.stream)

    moves = Moves(open_lab, tell=lambda: None)
    moves.start(graph, web_of(graph), "compute-3")
    ending = threading.Thread(target=moves.finish)
    ending.start()

    def refused() -> bool:
        # That it migrates is said no more, once the page ends.
        with pytest.raises(ConflictError) as caught:
            moves.start(graph, web_of(graph), "compute-1")
        return str(caught.value) == "the page is ending"

    wait_until("the end of new ones", refused)
    assert ending.is_alive()
    go_on.set()
    ending.join(10)
    assert [move["state"] for move in moves.told()] == ["moved"]


def test_a_vm_is_moved_and_its_steps_are_told(server: Server) -> None:
    told = seen(server)
    (web,) = (one for one, vm in told["vms"].items() if vm["name"] == "web")
    answer, _ = ask(server, "/migrate", body={"vm": web, "host": "compute-3"})
    assert answer.status == 202
    shown: set[str] = set()

    def moved() -> bool:
        (move,) = state(server)["moves"]
        shown.update(move["now"])
        return bool(move["state"] == "moved")

    wait_until("the move", moved)
    assert any(line.split()[-3:] == ["packets/s", "lost", "silent"] for line in shown)
    (move,) = state(server)["moves"]
    assert move["now"] == []
    assert move["prober"]
    assert move["steps"][0] == "bind (conductor)"
    assert "The VM" in move["verdict"]
    wait_until("its new place", lambda: state(server)["vms"][web]["host"] == "compute-3")


def moved_unprobed(world: World) -> dict[str, Any]:
    """Return what is told of a migration of web, which nobody can probe."""
    with world.lab() as lab:
        graph = lab.graph()
    moves = Moves(world.lab_saying, tell=lambda: None, probed_s=0.2)
    moves.start(graph, web_of(graph), "compute-3")
    moves.finish()
    (move,) = moves.told()
    assert (move["state"], move["prober"]) == ("moved", ""), move
    return move


def test_a_vm_that_lets_no_probes_in_moves_without(world: World, net: FakeNet) -> None:
    with world.lab() as lab:
        for name, host in (("db", "compute-1"), ("web", "compute-2")):
            lab.create_port(PortRequest(network="net", instance=name, host=host))
    net.silent = True
    move = moved_unprobed(world)
    assert move["unprobed"].startswith("no packet came through within 0.2 s: UDP port")
    assert move["steps"][0] == "bind (conductor)"
    assert "Nobody probed" in move["verdict"]


def test_a_vm_without_addresses_moves_without_probes(world: World, net: FakeNet) -> None:
    with world.lab() as lab:
        for name, host in (("db", "compute-1"), ("web", "compute-2")):
            lab.create_port(PortRequest(network="net", instance=name, host=host))
    vifs = world.hosts["compute-2"].vifs_by_port
    vifs |= {port: replace(vif, addresses=()) for port, vif in vifs.items()}
    assert "no addresses of the same IP version" in moved_unprobed(world)["unprobed"]


def test_what_fails_without_probes_too_has_failed_and_blames_no_prober(
    server: Server, world: World
) -> None:
    told = seen(server)
    (web,) = (one for one, vm in told["vms"].items() if vm["name"] == "web")
    stopped = [
        replace(one, state="exited") if one.service == "compute-3" else one
        for one in world.engine.all_containers
    ]
    world.engine.all_containers[:] = stopped
    ask(server, "/migrate", body={"vm": web, "host": "compute-3"})
    wait_until("the failure", lambda: state(server)["moves"][0]["state"] == "failed")
    (move,) = state(server)["moves"]
    assert (move["verdict"], move["unprobed"]) == ("compute-3 is exited", "")


@pytest.mark.parametrize(
    ("vm", "host", "words"),
    [
        ("nobody", "compute-1", "there is no VM nobody"),
        ("web", "compute-9", "there is no compute host compute-9"),
        ("web", "compute-2", "web is on compute-2"),
    ],
)
def test_what_can_t_be_moved_is_refused(server: Server, vm: str, host: str, words: str) -> None:
    told = seen(server)
    ids = {found["name"]: one for one, found in told["vms"].items()}
    answer, body = ask(server, "/migrate", body={"vm": ids.get(vm, vm), "host": host})
    assert (answer.status, json.loads(body)["error"]) == (409, words)
    assert state(server)["moves"] == []


def test_a_failure_is_told(server: Server, world: World) -> None:
    told = seen(server)
    (web,) = (one for one, vm in told["vms"].items() if vm["name"] == "web")
    world.hosts["compute-3"].broken["plug"] = FakevmError("the plug does not fit")
    ask(server, "/migrate", body={"vm": web, "host": "compute-3"})
    wait_until("the failure", lambda: state(server)["moves"][0]["state"] == "failed")
    assert "the plug does not fit" in state(server)["moves"][0]["verdict"]


@pytest.mark.parametrize(
    "path", ["/", "/state", "/migrate", "/nothing", "/?token=wrong", "/?token="]
)
@pytest.mark.parametrize("header", ["", "Bearer wrong", "Bearer \xff", "Basic dXNlcjpwdw=="])
def test_everything_needs_the_token(server: Server, path: str, header: str) -> None:
    for body in (None, b"{}"):
        answer, said = ask(server, path, body=body, Authorization=header)
        assert answer.status == 403
        assert server.token.encode() not in said


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Host": "example.org"},
        {"Host": "127.0.0.1:1"},
    ],
)
def test_no_other_page_may_ask(server: Server, headers: dict[str, str]) -> None:
    for path, body in (("/state", None), ("/migrate", {}), (f"/?token={server.token}", None)):
        assert ask(server, path, body=body, **headers)[0].status == 403


def test_the_page_itself_may(server: Server) -> None:
    for name in ("127.0.0.1", "localhost"):
        host = f"{name}:{server.server_port}"
        answer, _ = ask(server, "/state", Host=host, Origin=f"http://{host}")
        assert answer.status == 200


def test_a_page_runs_its_own_script_alone(server: Server) -> None:
    answer, body = ask(server, f"/?token={server.token}", Authorization="")
    assert answer.status == 200
    policy = str(answer.getheader("Content-Security-Policy"))
    (nonce,) = {
        part[7:-1] for part in policy.replace(";", " ").split() if part.startswith("'nonce-")
    }
    assert body.count(b"<script") == body.count(f'<script nonce="{nonce}"'.encode()) == 1
    assert "default-src 'none'" in policy
    assert server.token.encode() not in body
    assert answer.getheader("Cache-Control") == "no-store"
    assert answer.getheader("Referrer-Policy") == "no-referrer"
    for word in (b"innerHTML", b"outerHTML", b"insertAdjacentHTML", b"document.write", b"eval("):
        assert word not in body


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"", None),
        (b"[]", None),
        (b"{}", None),
        (b"\xff", None),
        (b'{"vm": 1, "host": "compute-1"}', None),
        (b"{" * 3000, None),
        (b"{}", BODY + 1),
        (b"{}", -1),
    ],
)
def test_what_is_no_request_is_refused(server: Server, body: bytes, length: int | None) -> None:
    headers = {} if length is None else {"Content-Length": str(length)}
    assert ask(server, "/migrate", body=body, **headers)[0].status == 400


@pytest.mark.parametrize("after", ["x", "-1", "9" * 40, ""])
def test_a_version_is_a_number(server: Server, after: str) -> None:
    expected = 200 if after == "" else 400
    assert ask(server, f"/state?after={after}")[0].status == expected


def test_a_port_that_is_in_use_is_told(server: Server) -> None:
    with pytest.raises(ConflictError, match="is in use"):
        Server("fakevm", server.feed, server.moves, port=server.server_port)


def test_a_port_that_is_not_the_user_s_is_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bind(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(ConflictError) as caught:
        Server("fakevm", server.feed, server.moves, port=80)
    assert str(caught.value) == "port 80 on 127.0.0.1: Permission denied"


def test_a_lab_that_nobody_watches_is_left_alone(world: World) -> None:
    looks: list[float] = []

    class Watched(Lab):
        def look_again(self) -> None:
            looks.append(time.monotonic())
            super().look_again()

    def open_lab() -> Lab:
        return Watched(engine=world.engine, neutron=world.neutron, open_stream=world.stream)

    with Feed(open_lab, look_s=0.01, watched_s=0.1) as feed:
        assert feed.after(0, timeout_s=5).version
        time.sleep(0.5)
        before = len(looks)
        time.sleep(0.3)
        assert len(looks) == before
        feed.after(10**6, timeout_s=0.2)
        assert len(looks) > before


def test_who_probes_is_another_vm_of_the_network_that_runs(server: Server, world: World) -> None:
    with world.lab() as lab:
        graph = lab.graph()
    ids = {node.label: node.id for node in graph.nodes}
    ports = {edge.node: edge.port_id for edge in graph.edges}
    assert prober(graph, ids["web"]) == ports[ids["db"]]
    assert prober(replace(graph, down=frozenset({"compute-1"})), ids["web"]) == ""
    alone = tuple(edge for edge in graph.edges if edge.node != ids["db"])
    assert prober(replace(graph, edges=alone), ids["web"]) == ""
