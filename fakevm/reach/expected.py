"""Whether a VM should get an answer to a ping, by networks, routers and security groups: pure.

What nobody can tell of Neutron's objects alone is not judged: a way out by SNAT, static routes, a
VM with several ways.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from fakevm.reach.topology import Nic, Router, Rule, Topology

# Type and code of a request and of an answer (RFC 792, RFC 4443).
_ECHO = {4: ((8, 0), (0, 0)), 6: ((128, 0), (129, 0))}

# As Neutron calls ICMP in rules (neutron_lib/constants.py).
_ICMP = {4: {"icmp", "1"}, 6: {"icmp", "ipv6-icmp", "icmpv6", "58"}}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether an answer should come; None: that is not judged. With the reason, in words."""

    reaches: bool | None
    why: str


def verdict(topology: Topology, source: str, target: Nic, address: str) -> Verdict:
    """Return whether the VM `source` (an instance's id) should reach an address of a NIC."""
    if not target.up:
        return Verdict(reaches=False, why="the port is administratively down")
    nics = [nic for nic in topology.nics if nic.instance_id == source and nic.up]
    subnet_id = target.addresses[address]
    version = ipaddress.ip_address(address).version
    for nic in nics:
        for own, own_subnet in nic.addresses.items():
            if own_subnet == subnet_id:
                return _filtered(topology, nic, own, target, address)
    ways = [
        (nic, own, router)
        for nic in nics
        for own, own_subnet in nic.addresses.items()
        if ipaddress.ip_address(own).version == version
        for router in _routers(topology, own_subnet)
    ]
    if any(way.routes for *_, way in ways):
        return Verdict(reaches=None, why="a router on the way has static routes")
    there = [way for way in ways if _leads_to(topology, way[2], subnet_id)]
    if not there:
        if any(router.external == target.network_id for *_, router in ways):
            return Verdict(reaches=None, why="by a router's gateway, with SNAT or without")
        return Verdict(reaches=False, why="no router is between their networks")
    others = {one.instance_id for one in topology.nics if one.port_id != target.port_id}
    if len(nics) > 1 or target.instance_id in others:
        return Verdict(reaches=None, why="a VM with several NICs has several ways")
    nic, own, _ = there[0]
    return _filtered(topology, nic, own, target, address)


def _routers(topology: Topology, subnet_id: str) -> Iterator[Router]:
    """Yield the routers that a VM on a subnet sends to what is elsewhere."""
    subnet = topology.subnets.get(subnet_id)
    if subnet is None:
        # Deleted while the lists were read.
        return
    for router in topology.routers:
        here = router.interfaces.get(subnet_id)
        if router.up and here and here in (subnet.gateway_ip, *subnet.host_routes.values()):
            yield router


def _leads_to(topology: Topology, router: Router, subnet_id: str) -> bool:
    """Tell whether a router is on a subnet, and VMs there answer by it."""
    return router in _routers(topology, subnet_id)


def _filtered(topology: Topology, nic: Nic, own: str, target: Nic, address: str) -> Verdict:
    """Return what security groups say to a way that is there."""
    request, answer = _ECHO[ipaddress.ip_address(address).version]
    asked = (
        ("egress", nic, address, target, request),
        ("ingress", target, own, nic, request),
    )
    # Of stateful groups the answer belongs to the request.
    answered = [
        one
        for one in (
            ("egress", target, own, nic, answer),
            ("ingress", nic, address, target, answer),
        )
        if one[1].groups and one[1].groups <= topology.stateless
    ]
    for direction, here, remote, peer, kind in (*asked, *answered):
        if here.port_security and not _allowed(topology, direction, here, remote, peer, kind):
            what = "the request" if kind == request else "the answer"
            return Verdict(
                reaches=False,
                why=f"no security group of port {here.port_id} has a rule for {what} ({direction})",
            )
    return Verdict(reaches=True, why="")


def _allowed(
    topology: Topology, direction: str, here: Nic, remote: str, peer: Nic, kind: tuple[int, int]
) -> bool:
    return any(
        rule.group_id in here.groups
        and rule.direction == direction
        and _matches(topology, rule, remote, peer, kind)
        for rule in topology.rules
    )


def _matches(topology: Topology, rule: Rule, remote: str, peer: Nic, kind: tuple[int, int]) -> bool:
    address = ipaddress.ip_address(remote)
    if rule.ethertype != f"IPv{address.version}":
        return False
    if rule.protocol not in (None, "any", "0") and rule.protocol not in _ICMP[address.version]:
        return False
    if rule.protocol and rule.port_min is not None:
        code = kind[1] if rule.port_max is None else rule.port_max
        if (rule.port_min, code) != kind:
            return False
    if rule.remote_prefix and not _within(address, rule.remote_prefix):
        return False
    if rule.remote_group and rule.remote_group not in peer.groups:
        return False
    if rule.remote_address_group:
        prefixes = topology.address_groups.get(rule.remote_address_group, ())
        return any(_within(address, prefix) for prefix in prefixes)
    return True


def _within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, prefix: str) -> bool:
    network = ipaddress.ip_network(prefix, strict=False)
    return network.version == address.version and address in network
