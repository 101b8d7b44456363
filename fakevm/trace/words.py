"""What security groups say to a packet that meets them, in words: pure."""

from __future__ import annotations

from dataclasses import dataclass

from fakevm.backends.packet import Packet
from fakevm.backends.pipeline import Direction
from fakevm.reach import rules
from fakevm.reach.rules import Traffic
from fakevm.reach.topology import Nic, Rule, Topology

_ECHO = {4: (8, 0), 6: (128, 0)}


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A port's security groups, as a packet meets them."""

    groups: tuple[str, ...]
    # "security group web", "security groups default, web".
    called: str
    # That lets it pass; None: none does.
    rule: Rule | None
    # In words.
    why: str


def filter_of(
    topology: Topology, direction: Direction, here: Nic, peer: Nic, packet: Packet
) -> Filter:
    """Return what the groups of one end of a way say."""
    remote = packet.target if direction == "egress" else packet.source
    kind = _ECHO[packet.version]
    traffic = Traffic(protocol=packet.protocol, kind=kind, port=packet.port or 0)
    found = rules.allowing(topology, direction, here, remote=remote, peer=peer, traffic=traffic)
    rule = next(found, None)
    groups = tuple(sorted(here.groups, key=lambda one: topology.groups.get(one, one)))
    called = ", ".join(topology.groups.get(one) or one for one in groups)
    if rule:
        of = topology.groups.get(rule.group_id) or rule.group_id
        return Filter(
            groups=groups,
            called=f"security group {of}",
            rule=rule,
            why=f"rule {rule.id}, {rules.words(topology, rule)}",
        )
    to = "to" if direction == "egress" else "from"
    return Filter(
        groups=groups,
        called=f"security group{'s' if len(groups) > 1 else ''} {called}"
        if groups
        else "port security, without a security group",
        rule=None,
        why=f"no {direction} rule for {packet.service} {to} {remote}",
    )
