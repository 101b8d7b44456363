"""The prober, in VMs of one bridge."""

from __future__ import annotations

import json
import socket
import statistics
import time
from contextlib import ExitStack
from dataclasses import asdict
from itertools import pairwise
from typing import Any, Self

import pytest

from fakevm.model import Vm
from fakevm_agent.kernel import netns
from fakevm_agent.kernel.rtnl import Channel
from fakevm_agent.suspend import carry
from tests.functional.agent import Agent, Client
from tests.functional.conftest import make_vif, make_vm
from tests.functional.openvswitch import run

# Seconds; the prober's own, as it is told to users.
PRECISION = 0.015
_INTERVAL = 0.01
_ADDRESSES = {4: ("10.0.0.1", "10.0.0.2"), 6: ("2001:db8::1", "2001:db8::2")}


class End:
    """One prober; what it has told is in `sent` and `received`, by flow."""

    def __init__(self, agent: Agent, vm: Vm) -> None:
        self._client = Client(agent.socket)
        self._number = self._client.start(vm, "fakevm-probe", stdin=True)
        self._read = 0
        self.told: list[dict[str, Any]] = []
        self.sent: dict[str, dict[int, float]] = {}
        self.received: dict[str, list[list[Any]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def begin(self, flow: str, role: str, kind: str, address: str, **more: Any) -> None:
        self.tell(flow=flow, role=role, kind=kind, address=address, **more)
        while {"flow": flow, "ready": True} not in self.told:
            self.receive()

    def tell(self, **order: Any) -> None:
        self._client.send_input(self._number, json.dumps(order).encode() + b"\n")

    def receive(self) -> None:
        self._client.receive()
        self._take()

    def stop(self) -> None:
        self.tell(stop=True)
        assert self._client.finish(self._number).code == 0
        self._take()
        assert self.told[-1] == {"end": True}

    def receive_until(self, moment: float) -> None:
        while time.time() < moment:
            self.receive()

    def receive_packets(self, flow: str, count: int) -> None:
        """Receive until so many more packets of a flow have come."""
        count += len(self.received.get(flow, ()))
        while len(self.received.get(flow, ())) < count:
            self.receive()

    def _take(self) -> None:
        whole = self._client.said(self._number).rpartition("\n")[0] + "\n"
        lines, self._read = whole[self._read :].split("\n"), len(whole)
        for line in filter(None, lines):
            told = json.loads(line)
            self.told.append(told)
            self.sent.setdefault(told.get("flow", ""), {}).update(told.get("sent", ()))
            self.received.setdefault(told.get("flow", ""), []).extend(told.get("received", ()))


@pytest.fixture
def pair(agent: Agent) -> tuple[Vm, Vm]:
    """Two VMs with an IPv4 and an IPv6 address each."""
    one, two = make_vm("one"), make_vm("two")
    for vm, addresses in zip((one, two), zip(*_ADDRESSES.values(), strict=True), strict=True):
        agent.plug(make_vif(f"{addresses[0]}/24", f"{addresses[1]}/64"), vm)
    return one, two


# How long a packet may be under way, on a busy machine.
_ON_ITS_WAY_S = 0.3


def _end(stack: ExitStack, agent: Agent, vm: Vm) -> End:
    return stack.enter_context(End(agent, vm))


@pytest.mark.parametrize("version", [4, 6])
def test_packets_are_counted_on_both_ends(agent: Agent, pair: tuple[Vm, Vm], version: int) -> None:
    address, t0 = _ADDRESSES[version][1], time.time()
    with ExitStack() as stack:
        there, here = _end(stack, agent, pair[1]), _end(stack, agent, pair[0])
        anywhere = "::" if version == 6 else "0.0.0.0"
        there.begin("udp", "receive", "udp", anywhere, port=24600)
        there.begin("one way", "receive", "icmp", anywhere)
        here.begin("udp", "send", "udp", address, port=24600, t0=t0, host="compute-7")
        here.begin("one way", "send", "icmp", address, t0=t0)
        here.begin("ping", "ping", "icmp", address, t0=t0, rate=50)
        there.receive_packets("udp", 100)
        here.stop()
        there.stop()
    assert set(here.received) >= {"ping"}
    assert not here.received["udp"]
    for flow, end in (("udp", there), ("one way", there), ("ping", here)):
        received = {seq: rest for seq, *rest in end.received[flow]}
        # The last ones may have been on their way when the ends were stopped.
        last = max(here.sent[flow].values())
        arrived = {seq for seq, at in here.sent[flow].items() if last - at > _ON_ITS_WAY_S}
        assert arrived <= received.keys() <= here.sent[flow].keys()
        assert len(received) == len(end.received[flow])
        for seq, (at, sent_at, host) in received.items():
            assert sent_at == here.sent[flow][seq]
            assert 0 < at - sent_at < 1
            assert host == ("compute-7" if flow == "udp" else "one")
    # Each in its slot, and nothing between: no drift.
    for seq, at in here.sent["udp"].items():
        assert t0 + seq * _INTERVAL <= at < t0 + (seq + 1) * _INTERVAL
    numbers = sorted(here.sent["ping"])
    assert len(numbers) > 0.8 * (numbers[-1] - numbers[0])


def test_a_known_gap_is_measured(agent: Agent, pair: tuple[Vm, Vm]) -> None:
    """A link that is down for 200 ms, several times; all clocks are this machine's.

    Where the machine is so busy that the sender or the test itself had to wait for its turn, there
    is no known gap: that time is taken again.
    """
    errors: list[float] = []
    with ExitStack() as stack:
        there, here = _end(stack, agent, pair[1]), _end(stack, agent, pair[0])
        there.begin("f", "receive", "udp", "0.0.0.0", port=24600)
        here.begin("f", "send", "udp", "10.0.0.2", port=24600)
        for _ in range(100):
            there.receive_packets("f", 10)
            down, up, unsure = _taken_down(pair[1], 0.2)
            there.receive_packets("f", 10)
            here.receive_until(time.time() + 0.1)
            sent = [at for at in here.sent["f"].values() if down - 0.1 < at < up + 0.05]
            if unsure > _INTERVAL / 2 or max(b - a for a, b in pairwise(sent)) > 2 * _INTERVAL:
                continue
            times = [at for _, at, *_ in there.received["f"] if at > down - 0.1]
            gap = max(after - before for before, after in pairwise(times)) - _INTERVAL
            errors.append(gap - (up - down))
            if len(errors) == 5:
                break
        here.stop()
        there.stop()
    print("errors in ms:", [round(error * 1000, 1) for error in errors])
    assert len(errors) == 5
    assert abs(statistics.median(errors)) <= PRECISION, errors


def _taken_down(vm: Vm, seconds: float) -> tuple[float, float, float]:
    """Take a VM's NIC down for a while; return when it went and came, and how unsure that is."""
    # Without a program's start in between, which would take as long as what is measured.
    with netns.entered(vm.instance_id), Channel() as channel:
        index = socket.if_nametoindex("eth0")
        times = []
        for up in (False, True):
            times.append(time.time())
            assert channel.send([(carry.link(index, up=up), 0)]) == [0]
            times.append(time.time())
            if not up:
                time.sleep(max(0.0, times[0] + seconds - time.time()))
    before_down, down, before_up, up_at = times
    return down, up_at, max(down - before_down, up_at - before_up)


def test_a_send_that_fails_is_no_packet(agent: Agent, pair: tuple[Vm, Vm]) -> None:
    inside = ("ip", "-n", pair[0].instance_id)
    with ExitStack() as stack:
        there, here = _end(stack, agent, pair[1]), _end(stack, agent, pair[0])
        there.begin("f", "receive", "udp", "0.0.0.0", port=24600)
        here.begin("f", "send", "udp", "10.0.0.2", port=24600)
        here.begin("ping", "ping", "icmp", "10.0.0.2")
        there.receive_packets("f", 10)
        run(*inside, "link", "set", "eth0", "down")
        down = time.time()
        time.sleep(0.3)
        up = time.time()
        run(*inside, "link", "set", "eth0", "up")
        there.receive_packets("f", 10)
        here.receive_packets("ping", 10)
        here.stop()
        there.stop()
    for flow in ("f", "ping"):
        assert not [at for at in here.sent[flow].values() if down < at < up]
        assert [at for at in here.sent[flow].values() if at > up]
    assert {seq for seq, *_ in there.received["f"]} == here.sent["f"].keys()


def test_a_prober_that_waits_in_a_paused_vm_sees_the_first_packet(
    agent: Agent, pair: tuple[Vm, Vm]
) -> None:
    agent_vm = make_vm("moving")
    vif = make_vif("10.0.0.9/24")
    agent.call("plug", vif=asdict(vif), vm=asdict(agent_vm), paused=True)
    with ExitStack() as stack:
        there, here = _end(stack, agent, agent_vm), _end(stack, agent, pair[0])
        there.begin("to", "receive", "udp", "0.0.0.0", port=24600)
        there.begin("from", "send", "udp", "10.0.0.1", port=24601)
        here.begin("from", "receive", "udp", "0.0.0.0", port=24601)
        here.begin("to", "send", "udp", "10.0.0.9", port=24600)
        resumed = agent.call("resume", instance_id=agent_vm.instance_id, rarp=False)["time"]
        there.receive_packets("to", 10)
        here.receive_packets("from", 10)
        there.stop()
        here.stop()
    # Nothing was sent while the NIC was down.
    assert min(there.sent["from"].values()) > resumed - PRECISION
    assert min(at for _, at, *_ in there.received["to"]) > resumed - PRECISION


def test_the_prober_ends_by_a_signal(agent: Agent, pair: tuple[Vm, Vm]) -> None:
    script = "(sleep 0.3; kill -TERM $$) & exec fakevm-probe"
    with Client(agent.socket) as client:
        done = client.finish(client.start(pair[0], "sh", "-c", script, stdin=True))
    assert (done.code, done.stdout) == (0, '{"end":true}\n')


def test_the_prober_starts_at_once(agent: Agent, pair: tuple[Vm, Vm]) -> None:
    script = "for n in 1 2 3 4 5 6 7 8 9 10; do fakevm-probe </dev/null; done; times"
    done = agent.exec(pair[0], "sh", "-c", script)
    *ends, _, spent = done.stdout.splitlines()
    assert ends == ['{"end":true}'] * 10
    # The processor's time, as it were on a machine that has nothing else to do: user and system.
    minutes = [part.rstrip("s").split("m") for part in spent.split()]
    each = sum(int(m) * 60 + float(s) for m, s in minutes) / 10
    print(f"start and end: {each * 1000:.0f} ms")
    # 30 ms where there is nothing else; a busy machine's caches are cold.
    assert each < 0.1


def test_a_prober_is_not_told_of_as_a_process(agent: Agent, pair: tuple[Vm, Vm]) -> None:
    with End(agent, pair[0]) as end:
        end.begin("f", "receive", "udp", "0.0.0.0", port=24600)
        assert agent.call("suspend", instance_id=pair[0].instance_id)["processes"] == {}
