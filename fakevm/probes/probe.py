"""Probers: packets with numbers to and from a VM, while it migrates."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Self, get_args

from fakevm.clients.agents import Agent
from fakevm.errors import FakevmError, WaitTimeoutError
from fakevm.probes.end import FLUSH_S, PROGRAM, Process, Record, Seen
from fakevm.probes.flows import End, Flow, Recording, Records
from fakevm.probes.plan import Prober, orders
from fakevm.probes.tally import FlowNow, Tally
from fakevm.protocol.interrupt import deferred

# Packets a second in each flow.
RATE = 100.0

_HINT = "the ports' security groups must let it in: fakevm openstack port show PORT"


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
        self._seen: dict[End, dict[str, Seen]] = {
            end: {flow.id: Seen() for flow in flows} for end in get_args(End)
        }
        self._running: dict[End, list[Process]] = {end: [] for end in get_args(End)}
        self._problems: list[str] = []
        self._closing = ExitStack()
        # What `look` has counted, and the time of the last packet that it knows of.
        self._tallies: list[Tally] = []
        self._newest = 0.0

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

    def look(self) -> tuple[FlowNow, ...]:
        """Return what became of the packets so far, once every flow has flowed; by one thread."""
        news: list[tuple[list[Record], list[Record]]] = []
        with self._changed:
            if self._since is None:
                return ()
            if not self._tallies:
                self._tallies = [Tally(flow, since=self._since) for flow in self.flows]
            for flow in self.flows:
                ends = [seen[flow.id] for seen in self._seen.values()]
                sent = [record for end in ends for record in end.news("sent")]
                news.append((sent, [record for end in ends for record in end.news("received")]))
        for tally, (sent, received) in zip(self._tallies, news, strict=True):
            tally.add(sent=sent, received=received)
        # By the hosts' clock, which may be another machine's.
        self._newest = max([self._newest, *(t for both in news for told in both for _, t in told)])
        return tuple(tally.now(self._newest) for tally in self._tallies)

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
            process = Process(name, execution, told, self._seen[end], self._changed)
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

    def _processes(self) -> list[Process]:
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
