"""nova-events over its two sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fakevm.clients.rpc import Connection
from fakevm.errors import ConfigError
from fakevm.model import Server
from fakevm_agent.nova_events.nova import NovaEvents
from fakevm_agent.nova_events.nova_api import BODY_MAX, PATH, Request
from fakevm_agent.nova_events.peers import service_of
from tests.fakes.events import HEADERS, LocalNovaEvents

VM = "11111111-0000-4000-8000-000000000001"
OTHER = "11111111-0000-4000-8000-000000000002"
PORT = "aaaaaaaa-0000-4000-8000-000000000001"
PLUGGED = {"server_uuid": VM, "name": "network-vif-plugged", "status": "completed", "tag": PORT}


@pytest.fixture
def nova() -> Iterator[LocalNovaEvents]:
    nova = LocalNovaEvents()
    yield nova
    nova.close()


@pytest.fixture
def client(nova: LocalNovaEvents) -> Iterator[Connection]:
    client = Connection("nova-events", nova.stream(), timeout_s=5)
    yield client
    client.close()


def read(client: Connection, after: int, **params: Any) -> tuple[list[dict[str, Any]], int]:
    answer = client.request("read", {"after": after, "timeout_s": 0, **params})
    return answer["entries"], answer["cursor"]


def test_events_are_answered_as_nova_does_and_kept(
    nova: LocalNovaEvents, client: Connection
) -> None:
    (none, start) = read(client, -1)
    assert none == []
    assert nova.post({"events": [PLUGGED]})[0] == 207
    client.request("register", {"instance_id": VM, "host": None})
    assert nova.emit("network-vif-plugged", VM, PORT) == 422
    client.request("register", {"instance_id": VM, "host": "compute-1"})
    assert nova.emit("network-changed", VM, PORT, status=None) == 200
    entries, end = read(client, start)
    assert [(e["name"], e["status"], e["code"]) for e in entries] == [
        ("network-vif-plugged", "completed", 404),
        ("network-vif-plugged", "completed", 422),
        ("network-changed", "completed", 200),
    ]
    assert {(e["kind"], e["instance_id"], e["port_id"]) for e in entries} == {("event", VM, PORT)}
    # The loopback address has no service's name.
    assert {e["source"] for e in entries} <= {"127.0.0.1", "localhost"}
    times = [e["time"] for e in entries]
    assert times == sorted(times)
    assert read(client, end) == ([], end)


def test_the_headers_are_nova_s(nova: LocalNovaEvents) -> None:
    body = json.dumps({"events": [PLUGGED]}).encode()
    status, headers, _ = nova.request("POST", PATH, body)
    assert status == 207
    assert headers["OpenStack-API-Version"] == "compute 2.1"
    assert headers["X-OpenStack-Nova-API-Version"] == "2.1"
    assert headers["x-openstack-request-id"].startswith("req-")
    assert headers["Content-Type"] == "application/json"


def test_a_connection_takes_many_requests(nova: LocalNovaEvents) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", nova.port, timeout=5)
    for _ in range(3):
        connection.request("POST", PATH, json.dumps({"events": [PLUGGED]}), HEADERS)
        response = connection.getresponse()
        assert (response.status, len(json.load(response)["events"])) == (207, 1)
    connection.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nno colon\r\n\r\n",
        b"x" * 200_000,
    ],
)
def test_what_is_no_http_is_refused_and_the_connection_closed(
    nova: LocalNovaEvents, sent: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", nova.port), timeout=5) as sock:
        sock.sendall(sent)
        answer = b""
        while data := sock.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert nova.emit("network-changed", VM, PORT) == 404


def test_a_body_that_is_too_large_is_not_read(nova: LocalNovaEvents) -> None:
    with socket.create_connection(("127.0.0.1", nova.port), timeout=5) as sock:
        head = f"POST {PATH} HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n"
        sock.sendall(head.encode() + b"x" * (BODY_MAX + 1))
        assert sock.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_steps_stand_among_the_events(nova: LocalNovaEvents, client: Connection) -> None:
    step = {
        "instance_id": VM,
        "name": "activate",
        "status": "started",
        "source": "source",
        "operation": "m1",
    }
    _, start = read(client, -1)
    cursor = client.request("record", {"entries": [step, {**step, "status": "done"}]})["cursor"]
    nova.emit("network-vif-unplugged", VM, PORT)
    entries, _ = read(client, start)
    assert [(e["kind"], e["name"], e["status"]) for e in entries] == [
        ("step", "activate", "started"),
        ("step", "activate", "done"),
        ("event", "network-vif-unplugged", "completed"),
    ]
    assert (entries[1]["seq"], entries[1]["code"], entries[1]["operation"]) == (cursor, 0, "m1")


def test_who_waits_is_answered_at_once_and_for_its_instances(
    nova: LocalNovaEvents, client: Connection
) -> None:
    _, start = read(client, -1)
    params = {"after": start, "timeout_s": 30, "instance_ids": [VM]}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.request, "read", params, timeout_s=10)
        nova.emit("network-changed", OTHER, PORT)
        # Requests of one client run side by side.
        assert len(read(client, start)[0]) == 1
        nova.emit("network-changed", VM, PORT)
        answer = waiting.result(10)
    assert [e["instance_id"] for e in answer["entries"]] == [VM]
    assert read(client, answer["cursor"]) == ([], answer["cursor"])


def test_waiting_ends_without_news(client: Connection) -> None:
    _, start = read(client, -1)
    assert read(client, start, timeout_s=0.05, instance_ids=[]) == ([], start)


def test_what_is_much_comes_in_pages_and_the_oldest_is_dropped() -> None:
    nova = LocalNovaEvents(kept=1000)
    client = Connection("nova-events", nova.stream(), timeout_s=5)
    step = {"instance_id": VM, "status": "done", "source": "test"}
    for hundred in range(20):
        entries = [{**step, "name": str(100 * hundred + n)} for n in range(100)]
        client.request("record", {"entries": entries})
    found, after = [], 0
    while page := read(client, after)[0]:
        assert len(page) <= 500
        found += page
        after = page[-1]["seq"]
    names = [int(entry["name"]) for entry in found]
    assert names == list(range(2000 - len(names), 2000))
    assert 1000 <= len(names) <= 1100
    client.close()
    nova.close()


def test_cursors_grow_over_a_restart(nova: LocalNovaEvents, client: Connection) -> None:
    _, before = read(client, -1)
    nova.emit("network-changed", VM, PORT)
    nova.stop()
    nova.start()
    again = Connection("nova-events", nova.stream(), timeout_s=5)
    assert read(again, before)[0] == []
    nova.emit("network-vif-deleted", VM, PORT)
    entries, _ = read(again, before)
    assert [e["name"] for e in entries] == ["network-vif-deleted"]
    again.close()


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("register", {"instance_id": VM, "host": 1}, "host: expected a string"),
        ("register", {"host": "x"}, "instance_id: expected a string"),
        ("register", {"instance_id": VM, "node": "x"}, "'node': not known"),
        ("record", {"entries": [{"name": "x"}]}, "instance_id: expected"),
        ("record", {"entries": {}}, "expected a list"),
        ("record", {"entries": [{"kind": "event"}]}, "only steps"),
        ("read", {"after": "1"}, "after: expected a cursor"),
        ("read", {"after": 1, "timeout_s": 1e9}, "timeout_s: expected"),
        ("read", {"after": 1, "instance_ids": "x"}, "instance_ids: expected"),
        ("plug", {}, "no method 'plug'"),
    ],
)
def test_a_wrong_request_is_told(
    client: Connection, method: str, params: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        client.request(method, params)
    assert read(client, 0) == ([], read(client, -1)[1])


def test_a_text_that_is_too_long_is_refused_before_anything_is_kept(client: Connection) -> None:
    step = {"instance_id": VM, "name": "x", "status": "done", "source": "test"}
    with pytest.raises(ConfigError, match="at most 255"):
        client.request("record", {"entries": [step, {**step, "name": "x" * 256}]})
    assert read(client, 0)[0] == []


def test_the_last_request_of_a_client_that_writes_no_more_is_answered(
    nova: LocalNovaEvents,
) -> None:
    stream = nova.stream()
    stream.write(b'{"jsonrpc": "2.0", "id": 1, "method": "read", "params": {"after": -1}}\n')
    stream._sock.shutdown(socket.SHUT_WR)
    assert b'"entries": []' in stream.read()
    assert stream.read() == b""


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("fakevm-neutron-rpc-1.fakevm_management", "neutron-rpc"),
        ("fakevm-my-lab-neutron-api-1.fakevm-my-lab_management", "neutron-api"),
        ("somewhere.example.org", ""),
        ("localhost", ""),
        ("", ""),
    ],
)
def test_a_service_is_known_by_the_name_of_its_container(name: str, service: str) -> None:
    assert service_of(name) == service


def test_what_is_told_of_a_server_is_kept_until_something_else_is(client: Connection) -> None:
    client.request("register", {"instance_id": VM, "host": "compute-1", "name": "web"})
    client.request("register", {"instance_id": VM, "given": [PORT], "nics": [PORT]})
    client.request("register", {"instance_id": VM, "host": None})
    told = client.request("servers", {"instance_ids": [VM, OTHER]})["servers"]
    assert told == {
        VM: {
            "instance_id": VM,
            "host": None,
            "name": "web",
            "project_id": "",
            "given": [PORT],
            "nics": [PORT],
            "resized_from": "",
        }
    }


@pytest.mark.parametrize(
    "told", [{"given": PORT}, {"nics": [1]}, {"name": "x" * 256}, {"host": 1}, {"colour": "red"}]
)
def test_what_no_server_has_is_refused(client: Connection, told: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        client.request("register", {"instance_id": VM, **told})
    assert client.request("servers", {"instance_ids": [VM]}) == {"servers": {}}


def test_each_change_of_a_known_server_s_network_is_told_on() -> None:
    told: list[tuple[object, ...]] = []
    nova = NovaEvents(on_change=lambda *event: told.append(event))
    for name, tag in (("network-changed", PORT), ("network-vif-plugged", PORT)):
        events = [{"server_uuid": one, "name": name, "tag": tag} for one in (VM, OTHER)]
        nova.servers[VM] = Server(instance_id=VM, host="compute-1")
        nova.receive(
            Request(
                method="POST",
                path=PATH,
                headers={"content-type": "application/json"},
                body=json.dumps({"events": events}).encode(),
            ),
            source="neutron-api",
        )
    assert told == [(nova.servers[VM], "compute-1", PORT)]
