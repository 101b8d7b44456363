"""What Neutron says and what the hosts have, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fakevm.clients.engine import Container
from fakevm.clients.parts import Parts
from fakevm.errors import FakevmError
from fakevm.model import HostInfo
from fakevm.neutron.api import L2_AGENTS, NeutronAgent, Port
from fakevm.vms import vifs
from fakevm.vms.vifs import Row


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


def rows(lab: Parts) -> list[Row]:
    """Return every VM's ports."""
    # Its import goes on while the hosts are asked.
    neutron = lab.neutron
    answers = lab.ask_hosts(lambda agent: agent.vifs())
    plugged = {host: found for host, found in answers.items() if isinstance(found, list)}
    silent = {host: found for host, found in answers.items() if isinstance(found, FakevmError)}
    for error in silent.values():
        lab.say(str(error))
    known = {one.port_id for found in plugged.values() for one in found}
    ports = [
        port
        for port in neutron.ports()
        if port.device_owner.startswith("compute:") or port.id in known
    ]
    names = neutron.network_names()
    made = vifs.rows(ports, plugged, silent_hosts=silent)
    return [replace(row, network=names.get(row.network_id, "")) for row in made]


def row(lab: Parts, port: Port) -> Row:
    """Return one port."""
    answers = lab.ask_hosts(lambda agent: agent.vifs(port.id))
    plugged = {host: found for host, found in answers.items() if isinstance(found, list)}
    made = vifs.rows([port], plugged, silent_hosts=answers.keys() - plugged.keys())
    # More than one where it is plugged on several hosts: the one that it is bound to.
    found = next((one for one in made if one.plugged_host == port.host), made[0])
    # Neutron tells of the bindings of a VM's ports alone.
    bindings = lab.neutron.bindings(port.id) if port.device_owner.startswith("compute:") else []
    left = [
        f"{binding.status} binding to {binding.host} (fakevm migrate --abort {port.id})"
        for binding in bindings
        if not binding.active
    ]
    return replace(
        found,
        network=lab.neutron.network_names().get(port.network_id, ""),
        differs="; ".join(filter(None, [found.differs, *left])),
    )


def status(lab: Parts) -> Status:
    """Return the lab at a glance; what does not answer is shown as such."""
    infos = lab.ask_hosts(lambda agent: agent.info())
    endpoint, neutron_agents, words = "", [], "answers"
    try:
        endpoint = lab.endpoint
        neutron_agents = lab.neutron.agents()
    except FakevmError as error:
        words = str(error)
    hosts = [c for c in lab.containers if c.role in ("network", "compute")]
    return Status(
        lab=lab.name,
        endpoint=endpoint,
        neutron=words,
        services=tuple(
            ServiceStatus(service=c.service, state=c.health or c.state)
            for c in lab.containers
            if c not in hosts
        ),
        hosts=tuple(_host_status(c, neutron_agents, infos.get(c.service)) for c in hosts),
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
