"""What is seen of a migration while it is carried out."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Self, cast

from fakevm.backends.backend import PortFact
from fakevm.clients.agents import Agent
from fakevm.clients.process import Inside, inside
from fakevm.errors import ConfigError, ConflictError, FakevmError, NotFoundError
from fakevm.inventory.lookup import Lookup
from fakevm.migrate.look import Look
from fakevm.migrate.move import SETTLING, Move
from fakevm.model import Entry
from fakevm.neutron.values import HttpRequest
from fakevm.probes.flows import reports
from fakevm.probes.plan import FIRST_PORT, Prober, plan
from fakevm.probes.plan import Nic as ProbedNic
from fakevm.probes.probe import Probe
from fakevm.protocol.journal import Journal, StepTime
from fakevm.protocol.steps import Step, Undo
from fakevm.reports.migration import (
    FlowReport,
    MigrationReport,
    Moments,
    MoveKind,
    MoveOutcome,
    PortStatus,
)

# How often the ports' status is asked for; an answer takes Neutron some 20 ms.
POLL_S = 0.1

# How long is probed before and after, so that each gap has two ends.
BEFORE_S = 0.5
AFTER_S = 1.5

# A prober that is no VM: it answers to pings from it.
DHCP = "dhcp"


class Observer:
    """Collects the ports' status, events and what probers see. Use it in a `with` block."""

    def __init__(
        self,
        lab: Lookup,
        move: Move,
        requests: Sequence[HttpRequest],
        *,
        probes: Sequence[str],
        rate: float,
        probe_s: float,
        watch: bool,
        arrived: str,
    ) -> None:
        """probe_s: how long the flows may take to flow.

        `arrived`: the step before which the VM is plugged at the destination.
        """
        self._lab = lab
        self._arrived = arrived
        self._move = move
        self._requests = requests
        self._rate = rate if probes else 0.0
        self._probe_s = probe_s
        self._cursor = lab.events.cursor()
        self._neutron_version = lab.neutron_version
        self._backend = lab.backend.described(
            {nic.network.type for nic in move.nics} - {""}, lab.options
        )
        self._statuses: list[PortStatus] = []
        self._facts: list[PortFact] = []
        self._trail: Inside | None = None
        self._stop = threading.Event()
        self._watching = watch or bool(probes)
        self._probe = self._prober(probes) if probes else None

    def __enter__(self) -> Self:
        if self._watching:
            self._follow_trail()
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._trail:
            self._trail.close()
        if self._probe:
            self._probe.close()

    def begin(self) -> None:
        """Let every flow flow, so that what is lost is lost by the migration."""
        if self._probe:
            self._probe.start()
            self._probe.wait_until_flowing(self._probe_s)
            time.sleep(BEFORE_S)

    def before(self, step: Step[Move] | Undo[Move]) -> None:
        """Open and close the probers' ends in time for a step."""
        if self._probe is None:
            return
        if step.name == self._arrived:
            # The netns is there; of a guest that waits its NICs are down.
            self._probe.at_destination(cast(Agent, self._move.destination))
        match step.name:
            case "pause":
                self._probe.wait_until_ready(self._move.timeout_s)
            # The VM's processes end with its last NIC.
            case "unplug":
                self._probe.stop_source()
            case "unplug the destination":
                self._probe.stop_destination()

    def look(self, journal: Journal) -> Look:
        """Return the migration as it is now; to be called by one thread."""
        step, actor, start = journal.running or ("", "", time.time())
        return Look(
            vm=self._move.vm.name,
            step=step,
            actor=actor,
            seconds=time.time() - start,
            flows=self._probe.look() if self._probe else (),
        )

    def _prober(self, refs: Sequence[str]) -> Probe:
        move = self._move
        if not isinstance(move.source, Agent):
            raise ConfigError(f"{move.source_name} is down: its VM can't be probed")
        nics = [
            ProbedNic(
                port_id=nic.port.id,
                network_id=nic.port.network_id,
                addresses=nic.guest.addresses if nic.guest else (),
            )
            for nic in move.nics
        ]
        probers = [prober for ref in refs for prober in self._probers(ref)]
        return Probe(
            plan(nics, probers, first_port=_first_port(move.vm.instance_id)),
            probers,
            source=move.source,
            port_id=move.nics[0].port.id,
            rate=self._rate,
        )

    def _probers(self, ref: str) -> list[Prober]:
        if ref == DHCP:
            return self._dhcp_servers()
        port = self._lab.find(ref)
        if port.device_id == self._move.vm.instance_id:
            raise ConfigError(f"--probe {ref}: it is the VM's own that migrates")
        if not port.bound:
            raise ConflictError(f"port {port.id} is not bound to a host", hint=f"fakevm plug {ref}")
        agent = self._lab.agent(port.host)
        addresses = [address for vif in agent.vifs(port.id) for address in vif.addresses]
        nic = ProbedNic(port_id=port.id, network_id=port.network_id, addresses=tuple(addresses))
        return [Prober(name=ref, nic=nic, agent=agent)]

    def _dhcp_servers(self) -> list[Prober]:
        found = []
        for network in {nic.network.id: nic.network for nic in self._move.nics}.values():
            lengths = {subnet.id: subnet.prefix_len for subnet in network.subnets}
            ports = self._lab.neutron.ports(network_id=network.id, device_owner="network:dhcp")
            found += [
                Prober(
                    name=DHCP,
                    nic=ProbedNic(
                        port_id=port.id,
                        network_id=network.id,
                        addresses=tuple(
                            f"{ip.ip_address}/{lengths[ip.subnet_id]}" for ip in port.fixed_ips
                        ),
                    ),
                )
                for port in ports
            ]
        if not found:
            raise NotFoundError("the VM's networks have no DHCP server", hint="fakevm status")
        return found

    def _flows(self, moments: Moments, steps: Sequence[StepTime]) -> tuple[FlowReport, ...]:
        if self._probe is None:
            return ()
        time.sleep(AFTER_S)
        recording = self._probe.stop()
        for problem in recording.problems:
            self._move.warn(f"warning: {problem}")
        return reports(recording, moments=moments, steps=steps)

    def report(
        self,
        kind: MoveKind,
        steps: Sequence[StepTime],
        *,
        started: float,
        ended: float,
        error: BaseException | None,
    ) -> MigrationReport:
        """Return all that was seen."""
        move = self._move
        moments = Moments(
            paused=move.state.time if move.state else None,
            activating=move.activating_at,
            activated=move.activated_at,
            resumed=move.resumed_at,
        )
        flows = self._flows(moments, steps)
        return MigrationReport(
            lab=self._lab.name,
            vm=move.vm.name,
            instance_id=move.vm.instance_id,
            kind=kind,
            source=move.source_name,
            destination=move.destination_name,
            neutron_version=self._neutron_version,
            port_ids=tuple(nic.port.id for nic in move.nics),
            started=started,
            ended=ended,
            backend=self._backend,
            outcome=_outcome(steps, error),
            error=str(error or ""),
            steps=tuple(steps),
            moments=moments,
            waited=move.waited,
            statuses=tuple(self._statuses),
            facts=tuple(self._facts),
            events=self._events(),
            flows=flows,
            rate=self._rate,
            processes={str(pid): command for pid, command in move.state.processes.items()}
            if move.state
            else {},
            requests=tuple(self._requests),
        )

    def _events(self) -> tuple[Entry, ...]:
        ids = [self._move.vm.instance_id]
        with suppress(FakevmError):
            return tuple(self._lab.events.kept(self._cursor, instance_ids=ids))
        return ()

    def _follow_trail(self) -> None:
        trail = self._lab.backend.trail
        if trail is None:
            return
        container = self._lab.service(trail.service).name
        stream = inside(container, trail.argv)
        reader = trail.reader([nic.port.id for nic in self._move.nics])

        def read() -> None:
            rest = b""
            # What is cut off, as by the stream's end, says nothing any more.
            with suppress(OSError, ValueError):
                while data := stream.read():
                    *lines, rest = (rest + data).split(b"\n")
                    for line in filter(None, lines):
                        self._facts += reader.read(line.decode())

        self._trail = stream
        threading.Thread(target=read, daemon=True).start()

    def _watch(self) -> None:
        neutron = self._lab.neutron.traced()
        last: dict[str, str] = {}
        while not self._stop.wait(POLL_S):
            with suppress(FakevmError):
                ports = neutron.ports(device_id=self._move.vm.instance_id, fields=("id", "status"))
                for port in ports:
                    if last.get(port.id) != port.status:
                        last[port.id] = port.status
                        now = time.time()
                        self._statuses.append(
                            PortStatus(time=now, port_id=port.id, status=port.status)
                        )


def _first_port(instance_id: str) -> int:
    """Return a UDP port of the VM's own, since one prober may serve several that migrate at once.

    Below 32768, where the kernel's own begin (net.ipv4.ip_local_port_range).
    """
    return FIRST_PORT + int(instance_id[:8], 16) % 250 * 32


def _outcome(steps: Sequence[StepTime], error: BaseException | None) -> MoveOutcome:
    if error is None:
        return "moved"
    undone = [step for step in steps if step.outcome == "undone"]
    failed = [step for step in steps if step.outcome == "failed"]
    settling = {step.name for step in SETTLING}
    if failed and all(step.name in settling for step in failed):
        return "unsettled"
    return "rolled back" if undone and len(failed) == 1 else "failed"
