"""What of a lab is not as it should be, in words; nothing of what is: pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from fakevm.evidence.hosts import OVS_S, HostFound
from fakevm.evidence.values import Moment, Pair
from fakevm.inventory.rows import Row
from fakevm.labs.status import HostStatus, Status
from fakevm.names import natural
from fakevm.neutron.values import NeutronAgent
from fakevm.trace.values import Trace

# What Docker says of a container that is well.
_WELL = ("healthy", "running")

# More of them stand in the files.
_PORTS = 10

# So many hosts are asked for their processes and flows.
HOSTS = 8


def of_hosts(
    status: Status, agents: Iterable[NeutronAgent], found: Mapping[str, HostFound]
) -> Iterator[str]:
    """Yield a line for each service and each host that is not well, or broken on purpose."""
    if status.neutron != "answers":
        yield f"Neutron: {status.neutron}"
    for service in status.services:
        if service.state not in _WELL:
            yield f"{service.service}: {service.state}"
    words = {
        host.host: [*_of_host(host), *_of_processes(found.get(host.host))] for host in status.hosts
    }
    for agent in agents:
        if not agent.alive:
            words.setdefault(agent.host, []).append(f"Neutron has {agent.binary} {agent.state}")
    # What is said of all is the less telling.
    same = set.intersection(*map(set, words.values())) if len(words) > 1 else set()
    for host, told in words.items():
        if own := [one for one in told if one not in same]:
            yield f"{host}: {'; '.join(own)}"
    if same:
        yield f"all hosts: {'; '.join(sorted(same))}"


def restarts(found: Mapping[str, HostFound], since: float, until: float) -> Iterator[Moment]:
    """Yield the processes of hosts that were started anew in a time window."""
    for host, one in found.items():
        for time, process in one.started_since(since):
            if time <= until:
                who = f"{host} {process.name}"
                text = "was started anew, within this second"
                yield Moment(time=time, kind="warning", who=who, text=text)


def _of_host(host: HostStatus) -> Iterator[str]:
    if broken := host.details.get("broken_on_purpose"):
        yield f"broken on purpose: {broken}"
    well = host.state in _WELL
    if not well:
        yield host.state
    if host.details.get("chassis") == "missing":
        yield "OVN has no such chassis"
    if "behind" in host.details.get("nb_cfg", ""):
        yield f"its nb_cfg is {host.details['nb_cfg']}"
    # Of one that is not well it says the same again.
    if well and host.error:
        yield host.error


def _of_processes(found: HostFound | None) -> Iterator[str]:
    if found is None:
        return
    if found.silent:
        yield f"Open vSwitch has not answered within {OVS_S} s"
    for one in found.down():
        yield f"{one.name} does not run, for {one.seconds} s"


def of_ports(rows: Iterable[Row]) -> Iterator[str]:
    """Yield a line for each VM's port of which Neutron and its host differ."""
    odd = [row for row in rows if row.differs]
    for row in odd[:_PORTS]:
        name = f"{row.name} ({row.port_id[:8]})" if row.name else row.port_id[:8]
        where = f" on {row.host}" if row.host else ""
        yield f"port {name} of VM {row.vm_name}{where}: {row.differs}"
    if len(odd) > _PORTS:
        yield f"… and {len(odd) - _PORTS} more ports"


def concerned(
    there: Collection[str],
    ways: Sequence[tuple[Pair, Trace | str]],
    rows: Sequence[Row],
    status: Status | None,
) -> list[str]:
    """Return the hosts whose flows may tell: of ways, of what is not well; else of all."""
    named = {hop.host for _, way in ways if isinstance(way, Trace) for hop in way.hops}
    of_pairs = {name for pair, _ in ways for name in (pair.source, pair.target)}
    named |= {row.host for row in rows if row.differs or row.vm_name in of_pairs}
    named |= {host.host for host in status.hosts if any(_of_host(host))} if status else set()
    return sorted(named & set(there) or there, key=natural)[:HOSTS]
