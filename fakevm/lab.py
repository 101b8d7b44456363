"""A running lab: what the command line, the tests and a user's script all call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from fakevm import names, vifs
from fakevm.agents import Agent, Execution, Removed, Terminal
from fakevm.boot import AS_NOVA, Boot, Plugging, complete, delete_vm, user_body
from fakevm.clock import Clock
from fakevm.engine import Container
from fakevm.errors import ConfigError, ConflictError, FakevmError, NotFoundError, UnavailableError
from fakevm.interrupt import deferred
from fakevm.model import HostInfo, Vm
from fakevm.neutron import L2_AGENTS, HttpRequest, Network, NeutronAgent, Port, prepare
from fakevm.parts import PLACE, Parts, at_once
from fakevm.results import (
    CreatedPort,
    HostResult,
    HostStatus,
    Leftover,
    MigrationReport,
    PortRequest,
    ServiceStatus,
    Status,
)
from fakevm.steps import Journal, note
from fakevm.vifs import Addressing, Row

if TYPE_CHECKING:
    from fakevm.migrate.run import MigrationRequest

# How long a port may take to become ACTIVE, and a VM to get its addresses.
WAIT_S = 60.0


class Lab(Parts):
    """What can be done in a lab. Use it in a `with` block, or close it."""

    # Ports

    def create_port(
        self,
        request: PortRequest,
        *,
        plugging: Plugging = AS_NOVA,
        timeout_s: float = WAIT_S,
    ) -> CreatedPort:
        """Create a port for a VM, plug it, wait until it is ACTIVE and the VM has its addresses.

        The first port boots the VM, another one is attached. A failure on the way, or Ctrl-C,
        removes what was made.
        """
        start = time.monotonic()
        vm = vifs.vm_of(request.instance)
        prepare()
        self.neutron.connect()
        clock = Clock(self.neutron, start=start)
        network = self.neutron.network(request.network)
        host, running = self._host_for(vm, request.host)
        agent = self.agent(host)
        groups = [self.neutron.security_group_id(ref) for ref in request.security_groups]
        with self._boot(vm, agent, running=running, plugging=plugging, clock=clock) as boot:
            port = boot.create(user_body(request, vm, network, groups))
            port = boot.bind(port)
            silent = self._silent_subnets(port, network)
            ips = vifs.fixed_ips(port, network, request.addressing, silent=silent)
            boot.plug(port, network, ips, preserve=False, timeout_s=timeout_s)
            plugged = agent.vifs(port.id)
        (row,) = vifs.rows([replace(port, status="ACTIVE")], {host: plugged})
        return CreatedPort(row=replace(row, network=network.name), timings=clock.timings())

    def delete_ports(self, refs: Sequence[str]) -> tuple[list[str], list[FakevmError]]:
        """Delete ports; return the ids of those that are, and the others' errors."""
        _ = self.containers
        deleted: list[str] = []
        failures: list[FakevmError] = []
        for ref in refs:
            try:
                deleted.append(self.delete_port(ref))
            except FakevmError as error:
                failures.append(error)
        return deleted, failures

    def delete_port(self, ref: str) -> str:
        """Unplug a port on its host and delete it; return its id.

        Content if the host is gone, or has it no more.
        """
        port = self.find(ref, whole=False)
        _check_owner(port)
        try:
            if port.host:
                self.agent(port.host).unplug(port.id)
        except (NotFoundError, UnavailableError) as error:
            self._say(f"{error}; `fakevm cleanup` removes what is left there")
        self.neutron.delete_port(port.id)
        return port.id

    def plug(
        self,
        ref: str,
        *,
        host: str | None = None,
        instance: str | None = None,
        addressing: Addressing | None = None,
        plugging: Plugging = AS_NOVA,
        timeout_s: float = WAIT_S,
    ) -> Row:
        """Plug a port on its host; one that is not bound yet is given to a VM and bound first.

        What is plugged already comes by its addresses as before, if nothing else is asked for.
        """
        port = self.find(ref)
        _check_owner(port)
        wanted = self.host(host) if host else None
        vm = vifs.vm_of(instance) if instance else vifs.vm_of_port(port)
        if port.device_id not in ("", vm.instance_id):
            raise ConflictError(f"port {port.id} belongs to VM {port.device_id}")
        network = self.neutron.network_of(port)
        if not port.bound:
            self._give(port, network, vm, wanted, addressing or "dhcp", plugging, timeout_s)
        elif wanted in (None, port.host):
            self._plug_again(port, network, addressing, timeout_s)
        else:
            return self._plug_elsewhere(port, network, str(wanted), addressing or "dhcp")
        return self.show(port.id)

    def unplug(self, ref: str, *, host: str | None = None) -> HostResult:
        """Unplug a port on one host; its binding stays."""
        port = self.find(ref, whole=False)
        target = self.host(host) if host else port.host
        if not target:
            raise ConfigError(
                f"port {port.id} is not bound to a host",
                hint=f"fakevm unplug --host HOST {ref}; fakevm unplug-all-host {ref}",
            )
        return HostResult(host=target, port_id=port.id, changed=self.agent(target).unplug(port.id))

    def unplug_all_hosts(self, ref: str) -> list[HostResult]:
        """Unplug a port on every host, all at once."""
        port = self.find(ref, whole=False)

        def unplug(host: str) -> HostResult:
            try:
                changed = self.agent(host).unplug(port.id)
            except FakevmError as error:
                return HostResult(host=host, port_id=port.id, changed=False, error=str(error))
            return HostResult(host=host, port_id=port.id, changed=changed)

        return list(at_once(unplug, [c.service for c in self.computes]).values())

    # VMs

    def delete_vm(self, instance: str) -> list[str]:
        """Delete a VM: unplug its NICs, unbind the ports it was given, delete the others.

        Return the ports' ids.
        """
        vm = vifs.vm_of(instance)
        deleted = delete_vm(self, vm.instance_id, warn=self._say)
        if not deleted:
            raise NotFoundError(f"there is no VM {instance!r}", hint="fakevm list")
        return deleted

    def execute(
        self,
        ref: str,
        argv: Sequence[str],
        *,
        host: str | None = None,
        timeout_s: float | None = None,
        terminal: Terminal | None = None,
        stdin: bool = False,
    ) -> Execution:
        """Start a command in the VM that has a port."""
        port_id, agent = self.located(ref, host)
        return agent.execute(port_id, argv, timeout_s=timeout_s, terminal=terminal, stdin=stdin)

    def located(self, ref: str, host: str | None = None) -> tuple[str, Agent]:
        """Return a port's id and the agent of its host, or of the one that is given."""
        port = self.find(ref, whole=False)
        target = self.host(host) if host else port.host
        if not target:
            raise ConflictError(f"port {port.id} is not bound to a host", hint=f"fakevm plug {ref}")
        return port.id, self.agent(target)

    def migrate(
        self,
        ref: str,
        request: MigrationRequest,
        *,
        on_request: Callable[[HttpRequest], None] = lambda _request: None,
        on_report: Callable[[MigrationReport], None] = lambda _report: None,
    ) -> MigrationReport:
        """Move the VM that has a port, with all its NICs, to another host; return what was seen.

        Before the point of no return a failure, or Ctrl-C, leaves it where it was. `on_request` is
        called after each request to Neutron, `on_report` also with the report of a failure.
        """
        # Most commands do without it.
        from fakevm.migrate.run import migrate

        port = self.find(ref)
        _check_owner(port)
        return migrate(
            self, port, request, say=self._say, on_request=on_request, on_report=on_report
        )

    def abort_migration(self, ref: str) -> list[str]:
        """Clean up after a migration whose process was killed; return what was done, in words."""
        from fakevm.migrate.run import abort

        return abort(self, self.find(ref), say=self._say)

    def rows(self) -> list[Row]:
        """Return every VM's ports: what Neutron says and what the hosts have, side by side."""
        answers = self.ask_hosts(lambda agent: agent.vifs())
        plugged = {host: found for host, found in answers.items() if isinstance(found, list)}
        silent = {host: found for host, found in answers.items() if isinstance(found, FakevmError)}
        for error in silent.values():
            self._say(str(error))
        known = {one.port_id for found in plugged.values() for one in found}
        ports = [
            port
            for port in self.neutron.ports()
            if port.device_owner.startswith("compute:") or port.id in known
        ]
        names = self.neutron.network_names()
        made = vifs.rows(ports, plugged, silent_hosts=silent)
        return [replace(row, network=names.get(row.network_id, "")) for row in made]

    def show(self, ref: str) -> Row:
        """Return one port: what Neutron says and what its host has."""
        port = self.find(ref)
        answers = self.ask_hosts(lambda agent: agent.vifs(port.id))
        plugged = {host: found for host, found in answers.items() if isinstance(found, list)}
        made = vifs.rows([port], plugged, silent_hosts=answers.keys() - plugged.keys())
        # More than one where it is plugged on several hosts: the one that it is bound to.
        row = next((one for one in made if one.plugged_host == port.host), made[0])
        # Neutron tells of the bindings of a VM's ports alone.
        bindings = (
            self.neutron.bindings(port.id) if port.device_owner.startswith("compute:") else []
        )
        left = [
            f"{binding.status} binding to {binding.host} (fakevm migrate --abort {port.id})"
            for binding in bindings
            if not binding.active
        ]
        return replace(
            row,
            network=self.neutron.network_names().get(port.network_id, ""),
            differs="; ".join(filter(None, [row.differs, *left])),
        )

    def cleanup(self, *, dry_run: bool = False) -> tuple[list[Leftover], list[FakevmError]]:
        """Remove from every host what is left of ports that Neutron does not have there.

        Return what that was, and the errors of hosts that could not be looked at.
        """

        def clean_up(agent: Agent) -> list[Removed]:
            host = agent.host
            # The host is asked first: what is plugged later is none of the candidates, and what
            # is being plugged now has its port already.
            candidates = agent.left_over(self._bound_to(host))
            if not candidates:
                return []
            bound = self._bound_to(host)
            stale = [one for one in candidates if one.port_id not in bound]
            if dry_run:
                return stale
            return agent.clean_up(bound, only={one.port_id for one in stale if one.port_id})

        stopped = {c.service: c.state for c in self.computes if not c.running}
        for host, state in stopped.items():
            self._say(f"{host} is {state}: not looked at")
        answers = self.ask_hosts(clean_up)
        leftovers = [
            Leftover(host=host, kind=one.kind, name=one.name, port_id=one.port_id)
            for host, removed in answers.items()
            if isinstance(removed, list)
            for one in removed
        ]
        failures = [
            answer
            for host, answer in answers.items()
            if isinstance(answer, FakevmError) and host not in stopped
        ]
        return leftovers, failures

    def status(self) -> Status:
        """Return the lab at a glance; what does not answer is shown as such."""
        infos = self.ask_hosts(lambda agent: agent.info())
        endpoint, neutron_agents, words = "", [], "answers"
        try:
            endpoint = self.endpoint
            neutron_agents = self.neutron.agents()
        except FakevmError as error:
            words = str(error)
        hosts = [c for c in self.containers if c.role in ("network", "compute")]
        return Status(
            lab=self.name,
            endpoint=endpoint,
            neutron=words,
            services=tuple(
                ServiceStatus(service=c.service, state=c.health or c.state)
                for c in self.containers
                if c not in hosts
            ),
            hosts=tuple(_host_status(c, neutron_agents, infos.get(c.service)) for c in hosts),
        )

    # What the verbs share

    def _bound_to(self, host: str) -> set[str]:
        # Neutron finds by inactive bindings too, those of migrations that are under way.
        filters = {"binding:host_id": host}
        return {port.id for port in self.neutron.ports(fields=("id",), **filters)}

    def _host_for(self, vm: Vm, ref: str | None) -> tuple[str, bool]:
        """Return the host for a VM's new port, and whether the VM is there already.

        It is where the VM is, as asked, or the least busy one.
        """
        wanted = self.host(ref) if ref else None
        ports = self.neutron.ports(fields=PLACE)
        here = {p.host for p in ports if p.device_id == vm.instance_id and p.host} - {""}
        if wanted and here - {wanted}:
            raise ConflictError(
                f"VM {vm.name} is on {', '.join(sorted(here))}, not on {wanted}",
                hint=f"fakevm migrate {wanted} VIF moves all of it",
            )
        if wanted:
            return wanted, bool(here)
        healthy = [c.service for c in self.computes if c.running and c.health != "unhealthy"]
        compute_ports = (p for p in ports if p.device_owner.startswith("compute:"))
        host = vifs.choose_host(vm.instance_id, hosts=healthy, ports=compute_ports)
        if not here:
            self._say(f"host: {host}")
        return host, bool(here)

    def _silent_subnets(self, port: Port, network: Network) -> set[str]:
        """Return the SLAAC subnets of a port on which no router advertises, with a warning."""
        used = {ip.subnet_id for ip in port.fixed_ips}
        silent = {
            subnet.id
            for subnet in network.subnets
            if subnet.id in used
            and vifs.method(subnet, "dhcp") == "slaac"
            and subnet.ipv6_ra_mode
            and not self.neutron.has_router(subnet)
        }
        for subnet in network.subnets:
            if subnet.id in silent:
                self._say(f"warning: no router is on subnet {subnet.cidr}: no address by SLAAC")
        return silent

    @contextmanager
    def _boot(
        self, vm: Vm, agent: Agent, *, running: bool, plugging: Plugging, clock: Clock
    ) -> Iterator[Boot]:
        """Give what boots a VM, or attaches to it; undone if the block fails."""
        with self._undone_on_failure() as undo:
            yield Boot(
                *(self, vm, agent),
                running=running,
                plugging=plugging,
                journal=Journal(tell=note(self.events, vm.instance_id)),
                clock=clock,
                undo=undo,
                warn=self._say,
            )

    def _give(
        self,
        port: Port,
        network: Network,
        vm: Vm,
        wanted: str | None,
        addressing: Addressing,
        plugging: Plugging,
        timeout_s: float,
    ) -> None:
        """Bind a port that a user made to a VM's host, and plug it."""
        host, running = self._host_for(vm, wanted)
        agent = self.agent(host)
        clock = Clock(self.neutron, start=time.monotonic())
        with self._boot(vm, agent, running=running, plugging=plugging, clock=clock) as boot:
            bound = boot.bind(port, given=True)
            silent = self._silent_subnets(bound, network)
            ips = vifs.fixed_ips(bound, network, addressing, silent=silent)
            boot.plug(bound, network, ips, preserve=True, timeout_s=timeout_s)

    def _plug_again(
        self, port: Port, network: Network, addressing: Addressing | None, timeout_s: float
    ) -> None:
        """Plug a port on the host that it is bound to."""
        agent = self.agent(port.host)
        silent = self._silent_subnets(port, network)
        ips = vifs.fixed_ips(port, network, addressing or "dhcp", silent=silent)
        present = agent.vifs()
        before = next((one for one in present if one.port_id == port.id), None)
        if before and not addressing:
            ips = vifs.as_before(ips, before)
        preserve = bool(before and before.preserve_on_delete)
        vif = vifs.vif(port, network, port, ips, preserve_on_delete=preserve)
        with self._undone_on_failure() as undo:
            if before is None:
                undo.callback(agent.unplug, port.id)
            # Were it cut off, the undo could overtake it.
            with deferred():
                agent.plug(vif, vifs.vm_of_port(port, present))
            clock = Clock(self.neutron, start=time.monotonic())
            complete(self, agent, port, clock, timeout_s=timeout_s)

    def _plug_elsewhere(
        self, port: Port, network: Network, host: str, addressing: Addressing
    ) -> Row:
        """Plug on a host that the port has an inactive binding to, as a migration does."""
        for binding in self.neutron.bindings(port.id):
            if binding.host == host:
                ips = vifs.fixed_ips(port, network, addressing)
                vm = vifs.vm_of_port(port)
                # Its NIC would talk with the MAC of the one on the active host.
                agent = self.agent(host)
                agent.plug(vifs.vif(port, network, binding, ips), vm, paused=True)
                return vifs.row(port, host, agent.vifs(port.id)[0])
        raise ConflictError(
            f"port {port.id} is bound to {port.host}, and has no binding to {host}",
            hint=f"fakevm migrate {host} {port.id}",
        )

    @contextmanager
    def _undone_on_failure(self) -> Iterator[ExitStack]:
        """Give a stack for the undo of each act, run in full if the block fails."""
        with ExitStack() as stack:
            try:
                yield stack
            except BaseException as error:
                with deferred():
                    self._undo(stack, error)
                raise
            stack.pop_all()

    def _undo(self, stack: ExitStack, error: BaseException) -> None:
        try:
            stack.close()
        except FakevmError as failure:
            error.add_note(f"and not all could be undone: {failure}")


def _check_owner(port: Port) -> None:
    if not names.may_be_a_vms(port):
        raise ConflictError(
            f"port {port.id} is no VM's: it belongs to {port.device_owner}",
            hint=f"fakevm openstack port show {port.id}",
        )


def _host_status(
    container: Container,
    neutron_agents: Sequence[NeutronAgent],
    info: HostInfo | FakevmError | None,
) -> HostStatus:
    here = [
        agent
        for agent in neutron_agents
        if agent.host == container.service and agent.binary in L2_AGENTS
    ]
    known = info if isinstance(info, HostInfo) else None
    return HostStatus(
        host=container.service,
        role=container.role,
        state=(container.health or container.state) if container.running else container.state,
        l2_agent=vifs.agent_state(here[0]) if here else "",
        datapath=here[0].datapath if here else known.datapath if known else "",
        vms=known.vms if known else None,
        vifs=known.vifs if known else None,
        error=str(info) if isinstance(info, FakevmError) else "",
    )
