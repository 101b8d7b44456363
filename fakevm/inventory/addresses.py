"""Which addresses a port is to have, and how its VM comes by them: pure functions."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Literal

from fakevm.errors import ConfigError, NotFoundError
from fakevm.model import FixedIp, Method, PluggedVif
from fakevm.neutron.values import Network, Port, Subnet

# How a VM is to come by its addresses, where its subnets leave a choice.
Addressing = Literal["dhcp", "static", "none"]


def method(subnet: Subnet, addressing: Addressing) -> Method:
    """Return how a VM comes by its address on a subnet.

    Where it is to be DHCP and the subnet has none, the address is static, as an image's
    configuration drive would set it.
    """
    if addressing != "dhcp":
        return addressing
    if subnet.ip_version == 4:
        return "dhcp" if subnet.enable_dhcp else "static"
    match subnet.ipv6_address_mode:
        case "slaac" | "dhcpv6-stateless":
            return "slaac"
        case "dhcpv6-stateful":
            return "dhcpv6"
        case _:
            return "static"


def fixed_ips(
    port: Port, network: Network, addressing: Addressing, *, silent: Collection[str] = ()
) -> tuple[FixedIp, ...]:
    """Return a port's addresses with how the VM comes by them.

    `silent` are the subnets on which nobody advertises: no VM has a SLAAC address there.
    """
    subnets = {subnet.id: subnet for subnet in network.subnets}
    return tuple(
        FixedIp(
            ip_address=ip.ip_address,
            prefix_len=subnets[ip.subnet_id].prefix_len,
            subnet_id=ip.subnet_id,
            gateway_ip=subnets[ip.subnet_id].gateway_ip,
            method="none"
            if ip.subnet_id in silent and method(subnets[ip.subnet_id], addressing) == "slaac"
            else method(subnets[ip.subnet_id], addressing),
        )
        for ip in port.fixed_ips
    )


def as_before(ips: Iterable[FixedIp], before: PluggedVif) -> tuple[FixedIp, ...]:
    """Return the addresses, each come by as the VIF that is plugged comes by it."""
    methods = {ip.ip_address: ip.method for ip in before.fixed_ips}
    return tuple(replace(ip, method=methods.get(ip.ip_address, ip.method)) for ip in ips)


def requested_ips(wanted: Sequence[str], subnets: Sequence[Subnet]) -> list[dict[str, str]]:
    """Return a port's `fixed_ips` for Neutron: as wanted, or one address of every subnet.

    An address is written as `openstack port create` has it, "subnet=…,ip-address=…", or alone.
    Empty where Neutron gives one of every subnet by itself: of each IP version it takes one subnet,
    and all that have SLAAC (neutron/db/ipam_pluggable_backend.py).
    """
    if not wanted:
        chosen = [s.ip_version for s in subnets if method(s, "dhcp") != "slaac"]
        needed = len(chosen) != len(set(chosen))
        return [{"subnet_id": subnet.id} for subnet in subnets] if needed else []
    return [_requested_ip(text, subnets) for text in wanted]


def _requested_ip(text: str, subnets: Sequence[Subnet]) -> dict[str, str]:
    keys = {"subnet": "subnet_id", "ip-address": "ip_address"}
    try:
        return {"ip_address": str(ipaddress.ip_address(text))}
    except ValueError:
        pairs = dict(part.partition("=")[::2] for part in text.split(","))
    if not pairs.keys() <= keys.keys() or not all(pairs.values()):
        raise ConfigError(
            f"--fixed-ip {text}: an address, or subnet=SUBNET,ip-address=ADDRESS, is expected"
        )
    if named := pairs.get("subnet"):
        found = [subnet.id for subnet in subnets if named in (subnet.id, subnet.name)]
        if len(found) != 1:
            raise NotFoundError(f"the network has no subnet {named!r}, or several of this name")
        pairs["subnet"] = found[0]
    return {keys[key]: value for key, value in pairs.items()}
