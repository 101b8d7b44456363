"""What Neutron and the hosts have, as they answer: the only reader of these objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fakevm.clients.at_once import each
from fakevm.clients.parts import Parts
from fakevm.errors import FakevmError
from fakevm.model import PluggedVif

Found = Mapping[str, Any]

# By the name that Neutron's answer has for each.
KINDS = {
    "networks": "networks",
    "subnets": "subnets",
    "routers": "routers",
    "ports": "ports",
    "security_groups": "security-groups",
    "policies": "qos/policies",
    "trunks": "trunks",
    "floatingips": "floatingips",
}


@dataclass(frozen=True, kw_only=True)
class Raw:
    """All of it."""

    # By kind, of the project that fakevm works in.
    found: Mapping[str, Sequence[Found]]
    # Those of other projects, in words.
    others: tuple[str, ...] = ()
    # By host.
    vifs: Mapping[str, Sequence[PluggedVif]] = field(default_factory=dict)
    # Hosts that do not answer, and why.
    silent: Mapping[str, str] = field(default_factory=dict)
    # Hosts that may get a VM.
    hosts: tuple[str, ...] = ()


def read(lab: Parts) -> Raw:
    """Return what there is now."""
    lab.neutron.connect()
    project = lab.neutron.project_id()
    found = dict(zip(KINDS, each(lab.neutron.listed_if_known, [*KINDS.values()]), strict=True))
    answers = lab.ask_hosts(lambda agent: agent.vifs())
    own, others = {}, []
    for kind, rows in found.items():
        own[kind] = [row for row in rows if is_of(row, project)]
        # Neutron's own default group of each project is nobody's work.
        foreign = [row for row in rows if row not in own[kind] and row.get("name") != "default"]
        others += [f"{kind} {row.get('name') or row['id']}" for row in foreign]
    return Raw(
        found=own,
        others=tuple(others),
        vifs={host: one for host, one in answers.items() if not isinstance(one, FakevmError)},
        silent={host: str(one) for host, one in answers.items() if isinstance(one, FakevmError)},
        hosts=open_hosts(lab),
    )


def is_of(row: Found, project: str) -> bool:
    """Tell whether an object is a project's, or of a kind that is nobody's."""
    return row.get("project_id", "") in ("", project)


def open_hosts(lab: Parts) -> tuple[str, ...]:
    """Return the hosts that may get a VM."""
    return tuple(c.service for c in lab.computes if c.running and c.health != "unhealthy")
