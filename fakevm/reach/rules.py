"""Which rules of security groups allow a packet, and a rule in words: pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from fakevm.reach.topology import Nic, Rule, Topology

# As Neutron calls protocols in rules (neutron_lib/constants.py).
_NAMES = {
    (4, "icmp"): {"icmp", "1"},
    (6, "icmp"): {"icmp", "ipv6-icmp", "icmpv6", "58"},
    **{(version, "tcp"): {"tcp", "6"} for version in (4, 6)},
    **{(version, "udp"): {"udp", "17"} for version in (4, 6)},
}
_ALL = (None, "any", "0")

# Type and code of a request and of an answer (RFC 792, RFC 4443).
_ECHO = {4: ((8, 0), (0, 0)), 6: ((128, 0), (129, 0))}


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What a rule may be about beside where it comes from: ICMP of a type and code, or a port."""

    # icmp, tcp or udp.
    protocol: str
    kind: tuple[int, int] = (0, 0)
    port: int = 0


def allowing(
    topology: Topology, direction: str, here: Nic, *, remote: str, peer: Nic, traffic: Traffic
) -> Iterator[Rule]:
    """Yield the rules of a port's groups that let a packet out to, or in from, an address.

    peer: the port that has the address.
    """
    for rule in topology.rules:
        if (
            rule.group_id in here.groups
            and rule.direction == direction
            and _matches(topology, rule, remote, peer, traffic)
        ):
            yield rule


def echo_refused(topology: Topology, source: Nic, own: str, target: Nic, address: str) -> str:
    """Return why a ping of `address` from `own` gets no answer by security groups, "" if it may."""
    if not topology.filtered:
        return ""
    request, answer = (
        Traffic(protocol="icmp", kind=kind) for kind in _ECHO[ipaddress.ip_address(address).version]
    )
    asked = (
        ("egress", source, address, target, request),
        ("ingress", target, own, source, request),
    )
    # Of stateful groups the answer belongs to the request.
    answered = [
        one
        for one in (
            ("egress", target, own, source, answer),
            ("ingress", source, address, target, answer),
        )
        if one[1].groups and one[1].groups <= topology.stateless
    ]
    for direction, here, remote, peer, traffic in (*asked, *answered):
        if here.port_security and not any(
            allowing(topology, direction, here, remote=remote, peer=peer, traffic=traffic)
        ):
            what = "the request" if traffic == request else "the answer"
            return f"no security group of port {here.port_id} has a rule for {what} ({direction})"
    return ""


def words(topology: Topology, rule: Rule) -> str:
    """Return a rule in words, as "tcp/80 from 10.0.0.0/24"."""
    what = rule.ethertype if rule.protocol in _ALL else f"{rule.ethertype} {rule.protocol}"
    if rule.protocol not in _ALL and rule.port_min is not None:
        what += f"/{rule.port_min}"
        if rule.port_max not in (None, rule.port_min):
            what += f"-{rule.port_max}"
    group = rule.remote_group
    whom = (
        (rule.remote_prefix or "")
        or (group and f"security group {topology.groups.get(group) or group}")
        or (rule.remote_address_group and f"address group {rule.remote_address_group}")
    )
    if not whom:
        return what
    return f"{what} {'to' if rule.direction == 'egress' else 'from'} {whom}"


def _matches(topology: Topology, rule: Rule, remote: str, peer: Nic, traffic: Traffic) -> bool:
    address = ipaddress.ip_address(remote)
    if rule.ethertype != f"IPv{address.version}":
        return False
    if rule.protocol not in (*_ALL, *_NAMES[address.version, traffic.protocol]):
        return False
    if rule.protocol and rule.port_min is not None and not _is_of(rule, traffic):
        return False
    if rule.remote_prefix and not _within(address, rule.remote_prefix):
        return False
    if rule.remote_group and rule.remote_group not in peer.groups:
        return False
    if rule.remote_address_group:
        prefixes = topology.address_groups.get(rule.remote_address_group, ())
        return any(_within(address, prefix) for prefix in prefixes)
    return True


def _is_of(rule: Rule, traffic: Traffic) -> bool:
    """Tell whether a rule with type and code, or with ports, is about this."""
    assert rule.port_min is not None
    if traffic.protocol == "icmp":
        code = traffic.kind[1] if rule.port_max is None else rule.port_max
        return (rule.port_min, code) == traffic.kind
    last = rule.port_min if rule.port_max is None else rule.port_max
    return rule.port_min <= traffic.port <= last


def _within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, prefix: str) -> bool:
    network = ipaddress.ip_network(prefix, strict=False)
    return network.version == address.version and address in network
