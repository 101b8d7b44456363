"""A running lab: what the command line, the tests and a user's script all call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from fakevm import vifs
from fakevm.agents import Agent, Execution, Removed, Terminal, connect
from fakevm.compose import NEUTRON_PORT, container_name
from fakevm.engine import Container, Engine, quick_containers
from fakevm.errors import ConfigError, ConflictError, FakevmError, NotFoundError, UnavailableError
from fakevm.interrupt import deferred
from fakevm.lock import exclusive
from fakevm.migrate import Migration, Nic, Step, carry_out, check
from fakevm.model import HostInfo, Vm
from fakevm.neutron import (
    DEVICE_OWNER,
    L2_AGENTS,
    Network,
    Neutron,
    NeutronAgent,
    Port,
    is_uuid,
    locate,
)
from fakevm.vifs import Addressing, Row

T = TypeVar("T")

# How long Neutron may take for one answer.
ANSWER_S = 30.0

# How long a port may take to become ACTIVE, and a VM to get its addresses.
WAIT_S = 60.0

# What a VIF's place is read from; the whole port takes Neutron longer.
_PLACE = ("id", "name", "device_id", "device_owner", "binding:host_id")


@dataclass(frozen=True, kw_only=True)
class PortRequest:
    """A port and the VM that gets it, as the user wishes them."""

    network: str
    instance: str
    host: str | None = None
    name: str | None = None
    fixed_ips: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    port_security: bool = True
    vnic_type: str = "normal"
    addressing: Addressing = "dhcp"


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Where the time of a `create_port` went, in seconds."""

    neutron_s: float
    plug_s: float
    active_s: float
    configure_s: float
    # All the rest, which is ours.
    other_s: float
    total_s: float


@dataclass(frozen=True, kw_only=True)
class CreatedPort:
    """A port that was created and plugged."""

    row: Row
    timings: Timings


@dataclass(frozen=True, kw_only=True)
class HostResult:
    """What came of a request to one of several hosts."""

    host: str
    port_id: str
    changed: bool
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Migrated:
    """A VM that has moved."""

    instance_id: str
    vm_name: str
    source: str
    destination: str
    port_ids: tuple[str, ...]
    seconds: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """A network or compute host, as Docker, Neutron and its own agent see it."""

    host: str
    role: str
    state: str
    l2_agent: str
    datapath: str
    vms: int | None
    vifs: int | None
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """One of the control plane's services."""

    service: str
    state: str


@dataclass(frozen=True, kw_only=True)
class Status:
    """A lab at a glance."""

    lab: str
    endpoint: str
    neutron: str
    services: tuple[ServiceStatus, ...]
    hosts: tuple[HostStatus, ...]


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Something of a port that is gone, on a host."""

    host: str
    kind: str
    name: str
    port_id: str | None


class Lab:
    """A lab, found by the labels of its containers. Use it in a `with` block, or close it."""

    def __init__(
        self,
        name: str = "fakevm",
        *,
        engine: Engine | None = None,
        answer_s: float = ANSWER_S,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.name = name
        self._engine = engine or Engine()
        self._answer_s = answer_s
        # Progress and warnings.
        self._say = say
        self._agents: dict[str, Agent] = {}
        self._opening = threading.Lock()

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up on the hosts' agents."""
        for agent in self._agents.values():
            agent.close()
        self._agents.clear()

    # The parts

    @cached_property
    def containers(self) -> list[Container]:
        """The lab's containers, by service; NotFoundError if there are none."""
        found = self._engine.containers(lab=self.name)
        if not found:
            option = "" if self.name == "fakevm" else f" --name {self.name}"
            raise NotFoundError(f"there is no lab {self.name!r}", hint=f"fakevm up{option}")
        return found

    @property
    def computes(self) -> list[Container]:
        """The compute hosts' containers."""
        return [container for container in self.containers if container.role == "compute"]

    def service(self, name: str) -> Container:
        """Return the container of one of the lab's services, which runs."""
        for container in self.containers:
            if container.service == name and container.running:
                return container
            if container.service == name:
                raise UnavailableError(f"{name} is {container.state}", hint="fakevm up")
        raise UnavailableError(f"the lab {self.name!r} has no {name}", hint="fakevm up")

    @cached_property
    def endpoint(self) -> str:
        """The URL of Neutron's API."""
        container = self.service("neutron-api")
        port = container.ports.get(NEUTRON_PORT)
        if port is None:
            raise UnavailableError(f"{container.name} publishes no API", hint="fakevm up")
        return f"http://127.0.0.1:{port}"

    @cached_property
    def neutron(self) -> Neutron:
        """The lab's Neutron."""
        return Neutron(self.endpoint, timeout_s=self._answer_s)

    def agent(self, host: str) -> Agent:
        """Return a running host's agent, connected."""
        container = self._compute(host)
        if not container.running:
            raise UnavailableError(
                f"{host} is {container.state}", hint=f"docker start {container.name}"
            )
        with self._opening:
            if host not in self._agents:
                self._agents[host] = Agent(host, connect(container.name))
            return self._agents[host]

    def host(self, ref: str) -> str:
        """Return the name of the compute host that a user names by name or container id."""
        return vifs.find_host(ref, {c.service: c.id for c in self.computes})

    def _compute(self, host: str) -> Container:
        name = self.host(host)
        return next(container for container in self.computes if container.service == name)

    # Ports

    def find(self, ref: str, *, whole: bool = True) -> Port:
        """Return the port that a user names by UUID, name, or the UUID's beginning."""
        fields = () if whole else _PLACE
        found = self.neutron.ports(id=ref, fields=fields) if is_uuid(ref) else []
        return vifs.find_port(ref, found or self.neutron.ports(fields=fields))

    def create_port(self, request: PortRequest, *, timeout_s: float = WAIT_S) -> CreatedPort:
        """Create a port for a VM, plug it, wait until it is ACTIVE and the VM has its addresses.

        A failure on the way, or Ctrl-C, removes what was made.
        """
        clock = _Clock(self.neutron)
        vm = vifs.vm_of(request.instance)
        self.neutron.prepare()
        network = self.neutron.network(request.network)
        host = self._host_for(vm, request.host)
        agent = self.agent(host)
        with self._undone_on_failure() as undo:
            # Were it cut off, nobody would know the id of the port that Neutron made.
            with deferred():
                port = self.neutron.create_port(_port_body(request, vm, host, network))
                undo.callback(self.neutron.delete_port, port.id)
            if port.vif_type == "binding_failed":
                raise vifs.binding_failed(port, self.neutron.agents())
            ips = vifs.fixed_ips(
                port, network, request.addressing, silent=self._silent_subnets(port, network)
            )
            undo.callback(agent.unplug, port.id)
            with clock.measured("plug"):
                vif = vifs.vif(port, network, port, ips)
                agent.plug(vif, replace(vm, project_id=port.project_id))
            self._complete(agent, port, clock, timeout_s=timeout_s)
            plugged = agent.vifs(port.id)
        (row,) = vifs.rows([replace(port, status="ACTIVE")], {host: plugged})
        return CreatedPort(row=replace(row, network=network.name), timings=clock.timings())

    def delete_port(self, ref: str) -> str:
        """Unplug a port on its host and delete it; return its id.

        Content if the host is gone, or has it no more.
        """
        port = self.find(ref, whole=False)
        self.neutron.prepare()
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
        addressing: Addressing = "dhcp",
        timeout_s: float = WAIT_S,
    ) -> Row:
        """Plug a port on its host; one that is not bound yet is bound to the host first."""
        port = self.find(ref)
        wanted = self.host(host) if host else None
        if port.bound and wanted not in (None, port.host):
            return self._plug_elsewhere(port, str(wanted), addressing)
        network = self.neutron.network_of(port)
        target = wanted or port.host or self._host_for(vifs.vm_of_port(port), None)
        agent = self.agent(target)
        if not port.bound:
            port = self._bind(port, target)
        ips = vifs.fixed_ips(port, network, addressing, silent=self._silent_subnets(port, network))
        done = agent.plug(vifs.vif(port, network, port, ips), vifs.vm_of_port(port))
        try:
            self._complete(agent, port, _Clock(self.neutron), timeout_s=timeout_s)
        except BaseException:
            if done.changed:
                with deferred():
                    agent.unplug(port.id)
            raise
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

        return list(_at_once(unplug, [c.service for c in self.computes]).values())

    # VMs

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
        port_id, agent = self._quickly_located(ref, host)
        return agent.execute(port_id, argv, timeout_s=timeout_s, terminal=terminal, stdin=stdin)

    def migrate(
        self,
        ref: str,
        destination: str,
        *,
        source: str | None = None,
        timeout_s: float = WAIT_S,
    ) -> Migrated:
        """Move the VM that has a port, with all its NICs and addresses, to another host."""
        check(source or "", destination)
        destination = self.host(destination)
        port = self.find(ref)
        self.neutron.prepare()
        if not port.host or not port.device_id:
            raise ConflictError(f"port {port.id} is not bound to a host", hint=f"fakevm plug {ref}")
        if source and self.host(source) != port.host:
            raise ConflictError(f"port {port.id} is on {port.host}, not on {source}")
        check(port.host, destination)
        busy = f"VM {port.device_id} is being migrated already"
        with exclusive(f"{self.name}/migrate/{port.device_id}", busy=busy):
            migration = self._migration(port, destination, timeout_s=timeout_s)
            seconds: dict[str, float] = {}
            started: list[tuple[str, float]] = []

            def on_step(step: Step | None) -> None:
                now = time.monotonic()
                if started:
                    name, since = started.pop()
                    seconds[name] = round(now - since, 3)
                if step:
                    self._say(f"{step.name} ({step.actor})")
                    started.append((step.name, now))

            carry_out(migration, on_step=on_step)
            on_step(None)
        return Migrated(
            instance_id=port.device_id,
            vm_name=migration.vm.name,
            source=port.host,
            destination=destination,
            port_ids=tuple(nic.port.id for nic in migration.nics),
            seconds=seconds,
        )

    def rows(self) -> list[Row]:
        """Return every VM's ports: what Neutron says and what the hosts have, side by side."""
        answers = self._ask_hosts(lambda agent: agent.vifs())
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
        answers = self._ask_hosts(lambda agent: agent.vifs(port.id))
        plugged = {host: found for host, found in answers.items() if isinstance(found, list)}
        made = vifs.rows([port], plugged, silent_hosts=answers.keys() - plugged.keys())
        # More than one where it is plugged on several hosts: the one that it is bound to.
        row = next((one for one in made if one.plugged_host == port.host), made[0])
        return replace(row, network=self.neutron.network_names().get(port.network_id, ""))

    def cleanup(self, *, dry_run: bool = False) -> list[Leftover]:
        """Remove from every host what is left of ports that Neutron does not have there."""

        def cleanup(host: str) -> list[Removed]:
            # This also finds the inactive bindings of migrations that are under way.
            bound = self.neutron.ports(fields=("id",), **{"binding:host_id": host})
            return self.agent(host).cleanup([port.id for port in bound], dry_run=dry_run)

        hosts = [container.service for container in self.computes if container.running]
        found = _at_once(cleanup, hosts)
        return [
            Leftover(host=host, kind=one.kind, name=one.name, port_id=one.port_id)
            for host, removed in found.items()
            for one in removed
        ]

    def status(self) -> Status:
        """Return the lab at a glance; what does not answer is shown as such."""
        infos = self._ask_hosts(lambda agent: agent.info())
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

    def _quickly_located(self, ref: str, host: str | None) -> tuple[str, Agent]:
        """Return a port's id and its host's agent, without any import that takes its time.

        Where something is not as expected, the slow way is gone, which has the words for it.
        """
        if host and is_uuid(ref):
            agent = self._agents[host] = Agent(host, connect(container_name(self.name, host)))
            try:
                agent.info()
            except UnavailableError:
                del self._agents[host]
                return ref, self.agent(self.host(host))
            return ref, agent
        running = {c.service: c for c in quick_containers(self.name)}
        api = running.get("neutron-api")
        if api is None or NEUTRON_PORT not in api.ports:
            port = self.find(ref)
        else:
            endpoint = f"http://127.0.0.1:{api.ports[NEUTRON_PORT]}"
            port = vifs.find_port(ref, locate(endpoint, ref, timeout_s=self._answer_s))
        target = host or port.host
        if not target:
            raise ConflictError(f"port {port.id} is not bound to a host", hint=f"fakevm plug {ref}")
        if target not in running:
            return port.id, self.agent(self.host(target))
        agent = self._agents[target] = Agent(target, connect(running[target].name))
        return port.id, agent

    def _host_for(self, vm: Vm, ref: str | None) -> str:
        """Return the host for a VM's new port: where the VM is, as asked, or the least busy one."""
        wanted = self.host(ref) if ref else None
        ports = self.neutron.ports(fields=_PLACE)
        here = {p.host for p in ports if p.device_id == vm.instance_id and p.host} - {""}
        if wanted and here - {wanted}:
            raise ConflictError(
                f"VM {vm.name} is on {', '.join(sorted(here))}, not on {wanted}",
                hint=f"fakevm migrate {wanted} VIF moves all of it",
            )
        if wanted:
            return wanted
        healthy = [c.service for c in self.computes if c.running and c.health != "unhealthy"]
        compute_ports = (p for p in ports if p.device_owner.startswith("compute:"))
        host = vifs.choose_host(vm.instance_id, hosts=healthy, ports=compute_ports)
        if not here:
            self._say(f"host: {host}")
        return host

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

    def _complete(self, agent: Agent, port: Port, clock: _Clock, *, timeout_s: float) -> None:
        if port.admin_state_up:
            with clock.measured("active"):
                self.neutron.wait_until_active(port.id, timeout_s=timeout_s)
        with clock.measured("configure"):
            agent.configure(port.id, timeout_s=timeout_s)

    def _bind(self, port: Port, host: str) -> Port:
        if port.device_owner and not port.device_owner.startswith("compute:"):
            raise ConflictError(f"port {port.id} is no VM's: it belongs to {port.device_owner}")
        body = {
            "binding:host_id": host,
            "device_id": vifs.vm_of_port(port).instance_id,
            "device_owner": port.device_owner or DEVICE_OWNER,
        }
        bound = self.neutron.update_port(port.id, body)
        if bound.vif_type == "binding_failed":
            raise vifs.binding_failed(bound, self.neutron.agents())
        return bound

    def _plug_elsewhere(self, port: Port, host: str, addressing: Addressing) -> Row:
        """Plug on a host that the port has an inactive binding to, as a migration does."""
        for binding in self.neutron.bindings(port.id):
            if binding.host == host:
                network = self.neutron.network_of(port)
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

    def _migration(self, port: Port, destination: str, *, timeout_s: float) -> Migration:
        ports = self.neutron.ports(device_id=port.device_id)
        elsewhere = sorted(f"{p.id} on {p.host or 'no host'}" for p in ports if p.host != port.host)
        if elsewhere:
            raise ConflictError(
                f"VM {port.device_id} is on {port.host}, but has port {', '.join(elsewhere)}"
            )
        source = self.agent(port.host)
        guests = {one.port_id: one for one in source.vifs()}
        if missing := sorted(p.id for p in ports if p.id not in guests):
            raise ConflictError(
                f"port {', '.join(missing)} is not plugged on {port.host}",
                hint=f"fakevm plug {missing[0]}",
            )
        networks = {p.network_id: self.neutron.network_of(p) for p in ports}
        return Migration(
            vm=replace(vifs.vm_of_port(port), name=guests[port.id].vm_name),
            nics=tuple(
                Nic(
                    port=p,
                    network=networks[p.network_id],
                    guest=guests[p.id],
                    bindings=tuple(self.neutron.bindings(p.id)),
                )
                # eth0 first: NICs are numbered in the order of plugging.
                for p in sorted(ports, key=lambda p: guests[p.id].nic)
            ),
            source_name=port.host,
            destination_name=destination,
            neutron=self.neutron,
            source=source,
            destination=self.agent(destination),
            timeout_s=timeout_s,
        )

    def _ask_hosts(self, ask: Callable[[Agent], T]) -> dict[str, T | FakevmError]:
        """Ask every compute host at once; who does not answer has his error in his place."""

        def answer(host: str) -> T | FakevmError:
            try:
                return ask(self.agent(host))
            except FakevmError as error:
                return error

        return _at_once(answer, [container.service for container in self.computes])

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


class _Clock:
    """Splits the time since it was made."""

    def __init__(self, neutron: Neutron) -> None:
        self._neutron = neutron
        self._start = time.monotonic()
        self._neutron_start = neutron.seconds
        self._parts = {"plug": 0.0, "active": 0.0, "configure": 0.0}
        self._neutron_in_waits = 0.0

    @contextmanager
    def measured(self, part: str) -> Iterator[None]:
        start, neutron_start = time.monotonic(), self._neutron.seconds
        yield
        self._parts[part] += time.monotonic() - start
        self._neutron_in_waits += self._neutron.seconds - neutron_start

    def timings(self) -> Timings:
        total = time.monotonic() - self._start
        neutron = self._neutron.seconds - self._neutron_start - self._neutron_in_waits
        parts = {f"{name}_s": round(value, 4) for name, value in self._parts.items()}
        other = total - neutron - sum(self._parts.values())
        return Timings(
            neutron_s=round(neutron, 4), other_s=round(other, 4), total_s=round(total, 4), **parts
        )


def _at_once(work: Callable[[str], T], hosts: Iterable[str]) -> dict[str, T]:
    from concurrent.futures import ThreadPoolExecutor

    names = list(hosts)
    with ThreadPoolExecutor(max_workers=max(1, min(len(names), 16))) as pool:
        return dict(zip(names, pool.map(work, names), strict=True))


def _port_body(request: PortRequest, vm: Vm, host: str, network: Network) -> dict[str, Any]:
    body: dict[str, Any] = {
        "network_id": network.id,
        "device_id": vm.instance_id,
        "device_owner": DEVICE_OWNER,
        "binding:host_id": host,
        "binding:vnic_type": request.vnic_type,
        "fixed_ips": vifs.requested_ips(request.fixed_ips, network.subnets),
    }
    if request.name is not None:
        body["name"] = request.name
    if request.security_groups:
        body["security_groups"] = list(request.security_groups)
    if not request.port_security:
        body |= {"port_security_enabled": False, "security_groups": []}
    return body


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
