"""What is left in the hosts of ports that are gone is found, and removed."""

from __future__ import annotations

from dataclasses import dataclass

from fakevm.clients.agents import Agent, Removed
from fakevm.clients.parts import Parts
from fakevm.errors import FakevmError
from fakevm.neutron.api import Neutron


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Something of a port that is gone, on a host."""

    host: str
    kind: str
    name: str
    port_id: str | None


def clean_up(lab: Parts, *, dry_run: bool) -> tuple[list[Leftover], list[FakevmError]]:
    """Remove from every host what is left there, or only find it.

    Return what that was, and the errors of hosts that could not be looked at.
    """
    stopped = {c.service: c.state for c in lab.computes if not c.running}
    for host, state in stopped.items():
        lab.say(f"{host} is {state}: not looked at")
    answers = lab.ask_hosts(lambda agent: _clean_up_host(lab.neutron, agent, dry_run=dry_run))
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


def _clean_up_host(neutron: Neutron, agent: Agent, *, dry_run: bool) -> list[Removed]:
    # The host is asked first: what is plugged later is none of the candidates, and what is being
    # plugged now has its port already.
    candidates = agent.left_over(_bound_to(neutron, agent.host))
    if not candidates:
        return []
    bound = _bound_to(neutron, agent.host)
    stale = [one for one in candidates if one.port_id not in bound]
    if dry_run:
        return stale
    return agent.clean_up(bound, only={one.port_id for one in stale if one.port_id})


def _bound_to(neutron: Neutron, host: str) -> set[str]:
    # Neutron finds by inactive bindings too, those of migrations that are under way.
    filters = {"binding:host_id": host}
    return {port.id for port in neutron.ports(fields=("id",), **filters)}
