"""A migration from its checks to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import get_args

from fakevm.clients.parts import Parts
from fakevm.errors import ConfigError, ConflictError, FakevmError, UnavailableError, for_each
from fakevm.migrate import cold, evacuate, live
from fakevm.migrate.move import MIGRATING_TO, Host, Move, Nic, Switches, without_migrating_to
from fakevm.migrate.observe import Observer
from fakevm.model import PluggedVif
from fakevm.neutron.api import Neutron
from fakevm.neutron.values import HttpRequest, Network, Port
from fakevm.protocol.journal import Journal, note
from fakevm.protocol.lock import exclusive_vm
from fakevm.protocol.steps import Faults, Protocol, carry_out
from fakevm.reports.migration import MigrationReport, MoveKind
from fakevm.vms import addresses, boot, vifs

# How long a guest may take to get its addresses after an abort.
CONFIGURE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class MigrationRequest:
    """A migration as the user wishes it."""

    destination: str
    source: str | None = None
    kind: MoveKind = "live"
    post_copy: bool = False
    # Evacuate although the source is up.
    force: bool = False
    switches: Switches = field(default_factory=Switches)
    faults: Faults = field(default_factory=Faults)
    # Ports of VMs that probe, or "dhcp"; packets a second for each flow.
    probes: Sequence[str] = ()
    rate: float = 100.0
    # Also without probes: ask for the ports' status all the time.
    watch: bool = False
    # How long a port may take to become ACTIVE, and the guest to get its addresses.
    timeout_s: float = 60.0


def protocol(kind: MoveKind, *, post_copy: bool = False) -> Protocol[Move]:
    """Return the steps of a kind of migration."""
    if kind == "live":
        return live.POST_COPY if post_copy else live.PRE_COPY
    if post_copy:
        raise ConfigError(f"--post-copy is a way to live-migrate, not to {kind}")
    if kind not in get_args(MoveKind):
        raise ConfigError(f"{kind!r} is no kind of migration: {', '.join(get_args(MoveKind))}")
    return cold.COLD if kind == "cold" else evacuate.EVACUATE


def migrate(
    lab: Parts,
    port: Port,
    request: MigrationRequest,
    *,
    on_request: Callable[[HttpRequest], None] = lambda _request: None,
    on_report: Callable[[MigrationReport], None] = lambda _report: None,
) -> MigrationReport:
    """Move the VM that has a port and return what was seen.

    All is checked before anything is changed. `on_report` gets the report of a failure, too.
    """
    steps = protocol(request.kind, post_copy=request.post_copy)
    request.faults.check(steps.names())
    instance_id = port.device_id or port.id
    with exclusive_vm(lab.name, instance_id), ExitStack() as stack:
        requests: list[HttpRequest] = []

        def keep(sent: HttpRequest) -> None:
            requests.append(sent)
            on_request(sent)

        move = _Checked(lab, port, request).move(lab.neutron.traced(keep))
        journal = Journal(say=lab.say, tell=note(lab.events, instance_id))
        observer = stack.enter_context(
            Observer(
                *(lab, move, requests),
                probes=request.probes,
                rate=request.rate,
                watch=request.watch,
            )
        )
        observer.begin()
        # Nova knows where each server is, and answers Neutron's events by it.
        lab.events.register(instance_id, move.source_name)
        started = time.time()
        error: BaseException | None = None
        try:
            carry_out(steps, move, journal, faults=request.faults, before=observer.before)
            lab.events.register(instance_id, move.destination_name)
        except FakevmError as caught:
            error = caught
            if any(t.name == steps.steps[-1].name and t.outcome == "done" for t in journal.times):
                _say_where(caught, move)
            raise
        except BaseException as caught:
            error = caught
            raise
        finally:
            report = observer.report(
                request.kind, journal.times, started=started, ended=time.time(), error=error
            )
            on_report(report)
    return report


def _say_where(error: FakevmError, move: Move) -> None:
    error.add_note(f"the VM is on {move.destination_name} all the same")
    ports = (f"fakevm show {nic.port.id}" for nic in move.nics)
    left = f"{', '.join(ports)}; fakevm cleanup, for what is left on {move.source_name}"
    error.hint = "; ".join(filter(None, (error.hint, left)))


class _Checked:
    """What a migration needs, looked up; whatever is wrong with it is an error here."""

    def __init__(self, lab: Parts, port: Port, request: MigrationRequest) -> None:
        if not port.bound or not port.device_id:
            raise ConflictError(
                f"port {port.id} is not bound to a host", hint=f"fakevm plug {port.id}"
            )
        self._lab = lab
        self._request = request
        self._destination = lab.host(request.destination)
        self._ports = lab.neutron.ports(device_id=port.device_id)
        # Another migration may have ended since the port was looked up.
        self._port = next((one for one in self._ports if one.id == port.id), port)
        self._check_ports()
        self._check_source()
        lab.running_compute(self._destination)
        self._check_l2_agent()

    def move(self, neutron: Neutron) -> Move:
        """Return the move, by this Neutron."""
        source: Host | None = None
        guests: dict[str, PluggedVif] = {}
        if self._source_state == "running":
            agent = self._lab.agent(self._port.host)
            guests = {one.port_id: one for one in agent.vifs()}
            source = agent
        self._check_guests(guests)
        networks = {p.network_id: self._lab.neutron.network_of(p) for p in self._ports}
        listed = tuple(self._nic(p, networks[p.network_id], guests.get(p.id)) for p in self._ports)
        vm = vifs.vm_of_port(self._port, guests.values())
        return Move(
            vm=vm,
            # eth0 first: NICs are numbered in the order of plugging. A source that is down can't
            # tell it: then in the order of their ports.
            nics=tuple(sorted(listed, key=lambda nic: (nic.name, nic.port.created_at))),
            listed=listed,
            source_name=self._port.host,
            destination_name=self._destination,
            neutron=neutron,
            source=source,
            destination=self._lab.agent(self._destination),
            events=self._lab.events,
            timeout_s=self._request.timeout_s,
            switches=self._request.switches,
            warn=self._lab.say,
        )

    @property
    def _source_state(self) -> str:
        """Docker's word for the source's container, "" if there is none."""
        return next((c.state for c in self._lab.computes if c.service == self._port.host), "")

    def _check_source(self) -> None:
        port, request = self._port, self._request
        state = self._source_state
        if request.source and self._lab.host(request.source) != port.host:
            raise ConflictError(f"port {port.id} is on {port.host}, not on {request.source}")
        if port.host == self._destination:
            raise ConflictError(
                f"the VM is on {port.host} already", hint="another host: fakevm status"
            )
        if request.kind == "evacuate":
            if state in ("running", "paused") and not request.force:
                up = "up" if state == "running" else state
                raise ConflictError(
                    f"{port.host} is {up}: a VM is evacuated from a host that is down",
                    hint=f"fakevm migrate {self._destination} {port.id}; or --force",
                )
        elif state == "paused":
            # Its VMs are there as soon as it goes on.
            self._lab.running_compute(port.host)
        elif state != "running":
            raise UnavailableError(
                f"{port.host} is down",
                hint=f"fakevm migrate --evacuate {self._destination} {port.id}",
            )

    def _check_ports(self) -> None:
        """Refuse a VM that is in several places, or on its way."""
        home = self._port.host
        for port in self._ports:
            if not port.bound:
                raise ConflictError(
                    f"port {port.id} of the same VM is not bound to a host",
                    hint=f"fakevm plug --host {home} {port.id}",
                )
            if port.host != home:
                raise ConflictError(
                    f"VM {port.device_id} is on {home}, but its port {port.id} is on {port.host}",
                    hint=f"fakevm delete-port {port.id}",
                )
            for binding in self._lab.neutron.bindings(port.id):
                if not binding.active:
                    raise ConflictError(
                        f"port {port.id} has an {binding.status} binding to {binding.host} already,"
                        " of a migration that was cut off",
                        hint=f"fakevm migrate --abort {port.id}",
                    )

    def _check_l2_agent(self) -> None:
        found = self._lab.l2_agents(self._destination)
        if not any(agent.alive for agent in found):
            told = "down" if found else "not known to Neutron"
            raise ConflictError(
                f"the L2 agent of {self._destination} is {told}", hint="fakevm status"
            )

    def _check_guests(self, guests: dict[str, PluggedVif]) -> None:
        if self._request.kind == "evacuate":
            return
        for port in self._ports:
            if port.id not in guests:
                raise ConflictError(
                    f"port {port.id} is not plugged on {port.host}", hint=f"fakevm plug {port.id}"
                )

    def _nic(self, port: Port, network: Network, guest: PluggedVif | None) -> Nic:
        ips = guest.fixed_ips if guest else addresses.fixed_ips(port, network, "dhcp")
        return Nic(port=port, network=network, fixed_ips=ips, guest=guest)


def abort(lab: Parts, port: Port) -> list[str]:
    """Clean up after a migration whose process was killed; return what was done.

    Before activation the VM runs on at the source, after it at the destination.
    """
    instance_id = port.device_id or port.id
    with exclusive_vm(lab.name, instance_id):
        return _Leftover(lab, port).clean_up()


class _Leftover:
    """What a migration that was killed has left."""

    def __init__(self, lab: Parts, port: Port) -> None:
        self._lab = lab
        self._ports = lab.neutron.ports(device_id=port.device_id) if port.device_id else [port]
        self._instance_id = port.device_id
        self._done: list[str] = []

    def clean_up(self) -> list[str]:
        acts = (self._withdraw, self._unbind, self._unplug, self._resume, self._configure)
        for_each(acts, lambda act: act())
        return self._done

    def _withdraw(self) -> None:
        for port in self._ports:
            if MIGRATING_TO in port.profile:
                body = {"binding:profile": without_migrating_to(port.profile)}
                self._lab.neutron.update_port(port.id, body)
                self._tell(f"took {MIGRATING_TO} out of port {port.id}'s profile")

    def _unbind(self) -> None:
        for port in self._ports:
            for binding in self._lab.neutron.bindings(port.id):
                if not binding.active:
                    self._lab.neutron.delete_binding(port.id, binding.host)
                    self._tell(f"deleted port {port.id}'s binding to {binding.host}")

    def _unplug(self) -> None:
        for port in self._ports:
            for container in self._lab.computes:
                host = container.service
                elsewhere = host != port.host and container.running
                if elsewhere and self._lab.agent(host).unplug(port.id):
                    self._tell(f"unplugged port {port.id} on {host}")

    def _resume(self) -> None:
        home = self._ports[0].host
        agent = self._lab.agent(home)
        here = {one.port_id: one for one in agent.vifs() if one.instance_id == self._instance_id}
        for port in self._ports:
            if port.id not in here:
                network = self._lab.neutron.network_of(port)
                ips = addresses.fixed_ips(port, network, "dhcp")
                # Whether it was given to the VM knew the host where it has been unplugged.
                vif = vifs.vif(port, network, port, ips, preserve_on_delete=True)
                agent.plug(vif, vifs.vm_of_port(port, here.values()))
                self._tell(f"plugged port {port.id} on {home}")
        # Content if it runs. What the guest had is lost with who was to hand it on: it boots.
        agent.resume(self._instance_id)

    def _configure(self) -> None:
        for port in self._ports:
            boot.configure(self._lab.agent(port.host), port, timeout_s=CONFIGURE_S)

    def _tell(self, words: str) -> None:
        self._lab.say(words)
        self._done.append(words)
