"""Which points a user's words mean, and where VIFs are plugged by now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fakevm.capture import points
from fakevm.capture.points import Point
from fakevm.errors import ConflictError, FakevmError, NotFoundError
from fakevm.inventory.lookup import Lookup

if TYPE_CHECKING:
    from fakevm.clients.agents import Agent


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is captured: points, and VIFs wherever they are plugged from then on."""

    points: tuple[Point, ...]
    # None: all there will be.
    port_ids: frozenset[str] | None = frozenset()

    @property
    def named(self) -> bool:
        """Whether a user named it, so that what can't be captured is an error."""
        return self.port_ids is not None


def wanted(lab: Lookup, refs: Sequence[str]) -> Wanted:
    """Return what these words mean; without any, all VIFs and all hosts' underlay links."""
    if not refs:
        return _everything(lab)
    hosts = [container.service for container in lab.containers if container.is_host]
    found: dict[Point, None] = {}
    for ref in refs:
        if point := points.link(ref, hosts):
            # UnavailableError, if it does not run.
            lab.service(point.host)
            found[point] = None
        else:
            found |= dict.fromkeys(_nics(lab, ref, hosts))
    port_ids = frozenset(point.port_id for point in found if point.port_id)
    return Wanted(points=tuple(found), port_ids=port_ids)


def newcomers(
    lab: Lookup, port_ids: Collection[str] | None, known: Collection[tuple[str, str]]
) -> list[Point]:
    """Return where these VIFs are plugged, of None all, beside those known by host and port.

    Who can't tell now is asked again.
    """
    if port_ids is not None and not port_ids:
        return []

    def look(agent: Agent) -> list[Point]:
        there = [port_id for vm in agent.vms() for port_id in vm.port_ids]
        return [
            points.nic(agent.host, vif)
            for port_id in there
            if (port_ids is None or port_id in port_ids) and (agent.host, port_id) not in known
            for vif in agent.vifs(port_id)
        ]

    answers = lab.ask_hosts(look).values()
    return [point for answer in answers if isinstance(answer, list) for point in answer]


def new_links(lab: Lookup, wanted: Wanted, known: Collection[Point]) -> list[Point]:
    """Return the links that are wanted, beside those known, of hosts that run."""
    # One that starts has not all of its links yet.
    ready = {
        container.service: points.underlay(container.service)
        for container in lab.containers
        if container.is_host and container.running and container.health != "starting"
    }
    there = ready.values() if wanted.port_ids is None else wanted.points
    return [
        point for point in there if not point.port_id and point.host in ready and point not in known
    ]


def _everything(lab: Lookup) -> Wanted:
    found = []
    answers = lab.ask_hosts(lambda agent: agent.vifs())
    for host, answer in answers.items():
        if isinstance(answer, FakevmError):
            lab.say(f"its VMs are left out: {answer}")
        else:
            found += [points.nic(host, vif) for vif in answer]
    found.sort(key=lambda point: point.name)
    for container in lab.containers:
        if container.is_host and container.running:
            found.append(points.underlay(container.service))
        elif container.is_host and container.service not in answers:
            lab.say(f"{container.service} is left out: it is {container.state}")
    return Wanted(points=tuple(found), port_ids=None)


def _nics(lab: Lookup, ref: str, hosts: Collection[str]) -> list[Point]:
    """Return where a VIF is plugged, or all VIFs of a VM."""
    try:
        ports = lab.find_all(ref, whole=False)
    except NotFoundError:
        known = ", ".join(hosts)
        raise NotFoundError(
            f"there is no VM, port or host {ref!r}; the hosts are {known}", hint="fakevm list"
        ) from None
    found = []
    for port in ports:
        lab.check_is_a_vms(port)
        if not port.host:
            raise ConflictError(f"port {port.id} is not bound to a host", hint=f"fakevm plug {ref}")
        vifs = lab.agent(port.host).vifs(port.id)
        if not vifs:
            raise NotFoundError(f"port {port.id} is not plugged on {port.host}", hint="fakevm list")
        found += [points.nic(port.host, vif) for vif in vifs]
    return found
