"""Probers: packets with numbers to and from a VM, while it migrates."""

from __future__ import annotations

import ipaddress
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

from fakevm.clients.agents import Agent, Execution
from fakevm.errors import ConfigError, FakevmError, WaitTimeoutError
from fakevm.flows import End, Flow, Recording, Records
from fakevm.interrupt import deferred

# In a host's image; agent/fakevm_agent/probe/ says what it reads and prints.
PROGRAM = "fakevm-probe"

# UDP ports are this one and those after it, one a flow: below those that a kernel gives out.
FIRST_PORT = 24600

# Packets a second in each flow.
RATE = 100.0

# In this order.
_KINDS: tuple[tuple[Literal["udp", "icmp"], Literal["to-vm", "from-vm"]], ...] = (
    ("udp", "to-vm"),
    ("udp", "from-vm"),
    ("icmp", "to-vm"),
    ("icmp", "from-vm"),
)

_HINT = "the ports' security groups must let it in: fakevm openstack port show PORT"

# How long an end may take to print what it still has, once it was told to stop.
FLUSH_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Nic:
    """A port of a VM, or of a DHCP agent, as a prober needs to know it."""

    port_id: str
    network_id: str
    # With their prefix lengths, as the NIC has them, or without.
    addresses: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Prober:
    """A VM that probes; without an agent it is something that only answers to pings."""

    name: str
    nic: Nic
    agent: Agent | None = None


def plan(
    nics: Sequence[Nic], probers: Sequence[Prober], *, first_port: int = FIRST_PORT
) -> tuple[Flow, ...]:
    """Return the flows between a VM and its probers, to each of its addresses, IPv4 first.

    Where the VM has a NIC in the prober's network, no other one is probed. An IP version that only
    one of the two has is left out; raises ConfigError if that leaves nothing. Probes of several VMs
    by the same prober need ports of their own.
    """
    names = [prober.name for prober in probers if prober.agent is not None]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{', '.join(twice)} is to probe more than once")
    flows: list[Flow] = []
    for prober in probers:
        near = [nic for nic in nics if nic.network_id == prober.nic.network_id] or nics
        pairs = [pair for nic in near for pair in _pairs(nic.addresses, prober.nic.addresses)]
        if not pairs:
            raise ConfigError(f"{prober.name} and the VM have no addresses of the same IP version")
        for address, peer_address in sorted(pairs, key=lambda pair: ":" in pair[0]):
            for kind, direction in _KINDS:
                if prober.agent is None and (kind, direction) != ("icmp", "from-vm"):
                    continue
                flow = Flow(
                    # Short: it is in each packet.
                    id=f"{len(flows) + 1} {kind} {direction} {address}",
                    kind=kind,
                    direction=direction,
                    peer=prober.name,
                    address=address,
                    peer_address=peer_address,
                    port=first_port + len(flows) if kind == "udp" else 0,
                )
                flows.append(flow)
    return tuple(flows)


def _pairs(ours: Iterable[str], theirs: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each of our addresses with one of theirs, in the same subnet if there is one."""
    known = [ipaddress.ip_interface(text) for text in theirs]
    for one in map(ipaddress.ip_interface, ours):
        same = [other for other in known if other.version == one.version]
        near = [other for other in same if other.ip in one.network]
        if same:
            yield str(one.ip), str((near or same)[0].ip)


def orders(
    flows: Iterable[Flow], end: End, *, rate: float, t0: float, run: str
) -> list[dict[str, Any]]:
    """Return what an end is told to do for the flows; nothing, for a ping that it answers.

    `run` is what all ends of one probe have in common, so that they ignore the packets of others.
    """
    return [
        {**order, "flow": flow.id, "kind": flow.kind, "rate": rate, "t0": t0, "run": run}
        for flow in flows
        if (order := _order(flow, sends=(end == "prober") == (flow.direction == "to-vm")))
    ]


def _order(flow: Flow, *, sends: bool) -> dict[str, Any] | None:
    target = flow.address if flow.direction == "to-vm" else flow.peer_address
    if flow.kind == "icmp":
        return {"role": "ping", "address": target, "port": 0} if sends else None
    if sends:
        return {"role": "send", "address": target, "port": flow.port}
    # At the destination the VM has no address yet.
    anywhere = "::" if ":" in target else "0.0.0.0"
    return {"role": "receive", "address": anywhere, "port": flow.port}


@dataclass
class _Seen:
    """What one end has told of one flow so far."""

    sent: list[tuple[int, float]] = field(default_factory=list)
    received: list[tuple[int, float]] = field(default_factory=list)


class _Process:
    """One end: the program in a VM, and the thread that reads what it prints.

    `changed` guards what it has seen, and is notified of it.
    """

    def __init__(
        self,
        name: str,
        execution: Execution,
        told: Sequence[Mapping[str, Any]],
        seen: Mapping[str, _Seen],
        changed: threading.Condition,
    ) -> None:
        self.name = name
        # Why it ended, if nobody told it to.
        self.problem = ""
        # Flows of which it has not yet said that its socket is open.
        self.silent = {order["flow"] for order in told}
        self._execution = execution
        self._seen = seen
        self._changed = changed
        self._stopped = False
        self._thread = threading.Thread(target=self._read, name=f"probe-{name}", daemon=True)
        self._thread.start()
        self._send(told)

    def ask_to_stop(self) -> None:
        """Let it print what it has, and end."""
        self._stopped = True
        with suppress(FakevmError):
            self._send([{"stop": True}])

    def join(self, timeout_s: float) -> None:
        """Wait until it has ended, or end it."""
        self._thread.join(timeout_s)
        stuck = self._thread.is_alive()
        self.close()
        if stuck:
            self.problem = f"{PROGRAM} has not ended by itself"

    def close(self) -> None:
        """End it if it still runs."""
        self._stopped = True
        if self._thread.is_alive():
            with suppress(FakevmError):
                self._execution.cancel()
            # Its end is told to the thread, as long as nobody has hung up.
            self._thread.join(FLUSH_S)
        self._execution.__exit__()

    def _send(self, lines: Iterable[Mapping[str, Any]]) -> None:
        self._execution.send(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    def _read(self) -> None:
        try:
            problem = self._read_to_the_end()
        except FakevmError as error:
            problem = str(error)
        except (ValueError, LookupError, TypeError) as error:
            problem = f"{PROGRAM} prints what nobody understands: {error!r}"
        with self._changed:
            self.problem = "" if self._stopped else problem
            self._changed.notify_all()

    def _read_to_the_end(self) -> str:
        rest, complaint = b"", b""
        for stream, data in self._execution.output():
            if stream == "stderr":
                complaint += data
                continue
            *lines, rest = (rest + data).split(b"\n")
            with self._changed:
                for line in lines:
                    self._take(json.loads(line))
                self._changed.notify_all()
        words = (
            f"{PROGRAM} ended with {self._execution.exit_code}",
            complaint.decode(errors="replace").strip(),
        )
        return ": ".join(filter(None, words))

    def _take(self, told: Mapping[str, Any]) -> None:
        if "flow" not in told:
            return
        seen = self._seen[told["flow"]]
        self.silent.discard(told["flow"])
        # More columns may follow.
        seen.sent.extend((seq, t) for seq, t, *_ in told.get("sent", ()))
        seen.received.extend((seq, t) for seq, t, *_ in told.get("received", ()))


class Probe:
    """Flows to and from one VM. Use it in a `with` block: leaving it ends all that was started."""

    def __init__(
        self,
        flows: Sequence[Flow],
        probers: Sequence[Prober],
        *,
        source: Agent,
        port_id: str,
        rate: float = RATE,
    ) -> None:
        self.flows = tuple(flows)
        self._probers = tuple(probers)
        self._source = source
        self._port_id = port_id
        self._rate = rate
        self._t0 = 0.0
        self._name = uuid.uuid4().hex[:12]
        self._since: float | None = None
        # Of all that the processes' threads write.
        self._changed = threading.Condition()
        self._seen: dict[End, dict[str, _Seen]] = {
            end: {flow.id: _Seen() for flow in flows} for end in get_args(End)
        }
        self._running: dict[End, list[_Process]] = {end: [] for end in get_args(End)}
        self._problems: list[str] = []
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what still runs."""
        self._closing.close()

    def start(self) -> None:
        """Start the VM's end on its host, and the probers'."""
        self._t0 = time.time()
        self._run("source", self._source, self._port_id, self.flows)
        for prober in self._probers:
            if prober.agent is not None:
                own = [flow for flow in self.flows if flow.peer == prober.name]
                self._run("prober", prober.agent, prober.nic.port_id, own)

    def wait_until_flowing(self, timeout_s: float) -> None:
        """Wait for a packet of each flow; what was sent before the last of these does not count.

        Raises WaitTimeoutError with the flows that have none, and FakevmError if an end has died.
        """
        with self._changed:
            self._wait(self._without_packets, "no packet came through", timeout_s, hint=_HINT)
            firsts = [min(t for _, t in self._received(flow)) for flow in self.flows]
            self._since = max(firsts, default=None)

    def at_destination(self, agent: Agent) -> None:
        """Start the VM's end on its new host, where its NICs are plugged and still down."""
        self._run("destination", agent, self._port_id, self.flows)

    def wait_until_ready(self, timeout_s: float) -> None:
        """Wait until every end has opened its sockets, so that none of them can miss a packet.

        Raises WaitTimeoutError with the ends that have not, and FakevmError if one has died.
        """
        with self._changed:
            self._wait(self._silent, f"{PROGRAM} is not ready", timeout_s)

    def stop_source(self) -> None:
        """End the VM's end on its old host; what it has seen is kept."""
        self._stop("source")

    def stop_destination(self) -> None:
        """End the VM's end on the host to which it does not move after all."""
        self._stop("destination")

    def stop(self) -> Recording:
        """End all and return what was seen."""
        self._stop(*get_args(End))
        with self._changed:
            ends: dict[str, dict[End, Records]] = {
                flow.id: {
                    end: Records(
                        sent=tuple(seen[flow.id].sent), received=tuple(seen[flow.id].received)
                    )
                    for end, seen in self._seen.items()
                }
                for flow in self.flows
            }
        seen = [one for records in ends.values() for one in records.values()]
        times = [t for one in seen for _, t in (*one.sent, *one.received)]
        return Recording(
            flows=self.flows,
            ends=ends,
            rate=self._rate,
            since=self._since,
            until=max(times, default=None),
            problems=tuple(self._problems),
        )

    def _run(self, end: End, agent: Agent, port_id: str, flows: Sequence[Flow]) -> None:
        told = orders(flows, end, rate=self._rate, t0=self._t0, run=self._name)
        name = f"{flows[0].peer if end == 'prober' else 'the VM'} on {agent.host}"
        # Were it cut off, nobody would end what was started.
        with deferred():
            execution = agent.execute(port_id, [PROGRAM], stdin=True)
            process = _Process(name, execution, told, self._seen[end], self._changed)
            self._closing.callback(process.close)
            self._running[end].append(process)

    def _stop(self, *ends: End) -> None:
        stopping = [process for end in ends for process in self._running[end]]
        for process in stopping:
            process.ask_to_stop()
        deadline = time.monotonic() + FLUSH_S
        for process in stopping:
            process.join(max(0.0, deadline - time.monotonic()))
        for end in ends:
            self._running[end].clear()
        self._problems += [f"{one.name}: {one.problem}" for one in stopping if one.problem]

    def _wait(
        self, missing: Callable[[], list[str]], what: str, timeout_s: float, *, hint: str = ""
    ) -> None:
        """Wait until nothing is missing any more, or an end has died."""
        self._changed.wait_for(lambda: self._dead() or not missing(), timeout_s)
        if dead := self._dead():
            raise FakevmError(dead[0])
        if left := missing():
            raise WaitTimeoutError(f"{what} within {timeout_s:g} s: {'; '.join(left)}", hint=hint)

    def _dead(self) -> list[str]:
        return [f"{one.name}: {one.problem}" for one in self._processes() if one.problem]

    def _silent(self) -> list[str]:
        return [one.name for one in self._processes() if one.silent]

    def _processes(self) -> list[_Process]:
        return [process for running in self._running.values() for process in running]

    def _without_packets(self) -> list[str]:
        return [_words(flow) for flow in self.flows if not self._received(flow)]

    def _received(self, flow: Flow) -> list[tuple[int, float]]:
        return [record for seen in self._seen.values() for record in seen[flow.id].received]


def _words(flow: Flow) -> str:
    peer, vm = f"{flow.peer} ({flow.peer_address})", f"the VM ({flow.address})"
    here, there = (peer, vm) if flow.direction == "to-vm" else (vm, peer)
    what = f"UDP port {flow.port}" if flow.kind == "udp" else "ping"
    return f"{what} from {here} to {there}"
