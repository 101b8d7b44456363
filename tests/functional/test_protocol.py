"""JSON-RPC on the socket: what is no request, and what a request may not hold."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Iterator
from typing import Any

import pytest

from fakevm.model import Vm
from tests.functional.agent import Agent, Client, RefusedError, memory_kib
from tests.functional.conftest import make_vif


@pytest.fixture
def client(agent: Agent) -> Iterator[Client]:
    with Client(agent.socket) as found:
        yield found


def test_the_socket_is_roots_alone(agent: Agent) -> None:
    assert stat.S_IMODE(agent.socket.stat().st_mode) == 0o600


def test_info_tells_what_the_host_is(agent: Agent, client: Client) -> None:
    info = client.call("info")
    assert info["host"] == "tester"
    assert info["datapath"] == "netdev"
    assert (info["vms"], info["vifs"]) == (0, 0)
    assert info["version"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"garbage", -32700),
        (b"\xff\xfe\x00\x01", -32700),
        (b"", -32700),
        (b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b'"text"', -32600),
        (b"null", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc": "1.0", "id": 7, "method": "info"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 7, "method": 7}', -32600),
        (b'{"jsonrpc": "2.0", "id": [7], "method": "info"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 7, "method": "info", "params": [1]}', -32602),
        (b'{"jsonrpc": "2.0", "id": 7, "method": "info", "params": {"extra": 1}}', -32602),
        (b'{"jsonrpc": "2.0", "id": 7, "method": "no.such"}', -32601),
    ],
)
def test_what_is_no_request_is_answered_and_the_stream_goes_on(
    client: Client, line: bytes, code: int
) -> None:
    client.send_raw(line + b"\n")
    with pytest.raises(RefusedError) as refused:
        client.answer(7 if b'"id": 7' in line else None)
    assert refused.value.code == code
    assert client.call("info")["host"] == "tester"


def test_notifications_get_no_answer(client: Client) -> None:
    client.notify("info")
    client.notify("no.such")
    client.notify("exec.stdin", id=99, data="")
    client.notify("exec.cancel", id=[1])
    client.notify("exec.resize")
    assert client.call("info")["host"] == "tester"


def test_a_huge_line_is_refused_without_being_kept(agent: Agent) -> None:
    before = memory_kib(agent.pid)
    with Client(agent.socket) as client, pytest.raises((BrokenPipeError, ConnectionResetError)):
        _flood(client)
    assert memory_kib(agent.pid) - before < 64 * 1024
    assert agent.call("info")["host"] == "tester"


def _flood(client: Client) -> None:
    for _ in range(1000):
        client.send_raw(b"x" * 1_000_000)


def test_a_line_just_too_long_is_told(client: Client) -> None:
    client.send_raw(b"x" * (8 * 1024 * 1024 + 1) + b"\n")
    with pytest.raises(RefusedError, match="8388608"):
        client.answer(None)


def test_a_client_may_ask_and_write_no_more(agent: Agent, client: Client) -> None:
    number = client.request("info")
    client.end_writing()
    assert client.answer(number)["host"] == "tester"
    assert client.at_end()


def test_a_cut_off_line_is_told(client: Client) -> None:
    client.send_raw(b'{"jsonrpc": "2.0", "id')
    client.end_writing()
    with pytest.raises(RefusedError) as refused:
        client.answer(None)
    assert refused.value.code == -32700


def test_clients_that_come_and_go_do_no_harm(agent: Agent) -> None:
    for _ in range(50):
        Client(agent.socket).close()
        with Client(agent.socket) as client:
            client.request("list")
    before = len(os.listdir(f"/proc/{agent.pid}/fd"))  # noqa: PTH208
    for _ in range(50):
        with Client(agent.socket) as client:
            client.call("list")
    assert len(os.listdir(f"/proc/{agent.pid}/fd")) <= before + 2  # noqa: PTH208


def test_answers_come_in_the_order_of_their_ends(agent: Agent, client: Client, vm: Vm) -> None:
    agent.plug(make_vif(), vm)
    slow = client.start(vm, "sh", "-c", "read line", stdin=True)
    assert client.call("info")["vms"] == 1
    client.send_input(slow, b"")
    assert client.finish(slow).code == 1


def test_an_id_of_a_running_command_is_refused(client: Client, agent: Agent, vm: Vm) -> None:
    vif = make_vif()
    agent.plug(vif, vm)
    request = {
        "jsonrpc": "2.0",
        "id": "one",
        "method": "exec",
        "params": {"port_id": vif.port_id, "argv": ["sleep", "3600"]},
    }
    client.send(request)
    client.send(request)
    with pytest.raises(RefusedError, match="id"):
        client.answer("one")
    client.notify("exec.cancel", id="one")
    assert client.answer("one") == {"exit_code": 137}


_VIF = dataclasses.asdict(make_vif("10.0.0.5/24"))
_VM = {"instance_id": "0b5e2f6c-5a0c-4f26-8b33-3a1f9b8f0d11", "name": "vm"}


@pytest.mark.parametrize(
    ("method", "params", "field"),
    [
        ("plug", {}, "vif"),
        ("plug", {"vif": _VIF}, "vm"),
        ("plug", {"vif": {**_VIF, "mtu": "big"}, "vm": _VM}, "vif.mtu"),
        ("plug", {"vif": {**_VIF, "mtu": 10}, "vm": _VM}, "vif.mtu"),
        ("plug", {"vif": {**_VIF, "more": 1}, "vm": _VM}, "vif.more"),
        ("plug", {"vif": {**_VIF, "port_id": "../../etc"}, "vm": _VM}, "vif.port_id"),
        ("plug", {"vif": {**_VIF, "mac_address": "x"}, "vm": _VM}, "vif.mac_address"),
        ("plug", {"vif": _VIF, "vm": {**_VM, "instance_id": "a/b"}}, "vm.instance_id"),
        (
            "plug",
            {"vif": {**_VIF, "fixed_ips": [{"ip_address": "10.0.0.999"}]}, "vm": _VM},
            "vif.fixed_ips.0",
        ),
        ("unplug", {}, "port_id"),
        ("unplug", {"port_id": "é"}, "port_id"),
        ("list", {"port_id": 7}, "port_id"),
        ("configure", {"port_id": _VIF["port_id"], "timeout_s": -1}, "timeout_s"),
        ("configure", {"port_id": _VIF["port_id"], "timeout_s": float("nan")}, "timeout_s"),
        ("exec", {"argv": ["true"]}, "port_id"),
        ("exec", {"port_id": _VIF["port_id"], "argv": []}, "argv"),
        ("exec", {"port_id": _VIF["port_id"], "argv": "true"}, "argv"),
        ("exec", {"port_id": _VIF["port_id"], "argv": ["a\0b"]}, "argv"),
        (
            "exec",
            {"port_id": _VIF["port_id"], "argv": ["a"], "tty": {"rows": 0, "cols": 1}},
            "tty",
        ),
        ("exec_each", {"instance_ids": ["a/b"], "argv": ["true"]}, "instance_ids.0"),
        ("cleanup", {"keep": ["x"]}, "keep.0"),
        ("cleanup", {"keep": "x"}, "keep"),
    ],
)
def test_a_wrong_parameter_is_named(
    agent: Agent, method: str, params: dict[str, Any], field: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        agent.call(method, **json.loads(json.dumps(params)))
    assert refused.value.code == -32602
    assert refused.value.type == "ConfigError"
    assert str(refused.value).startswith(f"{method}: {field}")
