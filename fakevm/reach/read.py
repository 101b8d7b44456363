"""What Neutron has that decides who reaches whom, as values: the only reader of these objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from fakevm.clients.at_once import each
from fakevm.neutron.api import Neutron
from fakevm.reach.topology import Nic, Router, RouterPort, Rule, Subnet, Topology

Found = Mapping[str, Any]

GATEWAY = "network:router_gateway"

# How the owner of a router's port on one of its networks begins, of routers that are distributed or
# highly available, too (neutron_lib/constants.py).
INTERFACES = ("network:router_interface", "network:ha_router_replicated_interface")

# How addresses are assigned that VMs learn from router advertisements alone.
SLAAC = ("slaac", "dhcpv6-stateless")


def topology(neutron: Neutron) -> Topology:
    """Return it for all VMs, as Neutron has it now."""
    kinds = ("ports", "subnets", "routers", "security-groups", "address-groups")
    neutron.connect()
    found = dict(zip(kinds, each(neutron.listed_if_known, kinds), strict=True))
    ports = found["ports"]
    return Topology(
        nics=tuple(_nics(ports)),
        subnets={one["id"]: _subnet(one) for one in found["subnets"]},
        routers=tuple(_router(one, ports) for one in found["routers"]),
        router_ports=tuple(map(_router_port, filter(_is_a_routers, ports))),
        groups={group["id"]: group["name"] for group in found["security-groups"]},
        rules=tuple(
            _rule(rule)
            for group in found["security-groups"]
            for rule in group["security_group_rules"]
        ),
        stateless=frozenset(
            group["id"] for group in found["security-groups"] if not group.get("stateful", True)
        ),
        address_groups={one["id"]: tuple(one["addresses"]) for one in found["address-groups"]},
    )


def _nics(ports: Iterable[Found]) -> Iterator[Nic]:
    by_id = {port["id"]: port for port in ports}
    for port in by_id.values():
        if port["device_owner"].startswith("compute:"):
            inside = (port.get("trunk_details") or {}).get("sub_ports", ())
            # One may be newer than this list.
            subports = [by_id[one["port_id"]] for one in inside if one["port_id"] in by_id]
            yield replace(_nic(port), subports=tuple(map(_nic, subports)))


def _nic(port: Found) -> Nic:
    return Nic(
        port_id=port["id"],
        instance_id=port["device_id"],
        host=port.get("binding:host_id", ""),
        network_id=port["network_id"],
        addresses={ip["ip_address"]: ip["subnet_id"] for ip in port["fixed_ips"]},
        groups=frozenset(port.get("security_groups") or ()),
        port_security=port.get("port_security_enabled", True),
        up=port["admin_state_up"],
        hybrid=bool((port.get("binding:vif_details") or {}).get("ovs_hybrid_plug")),
    )


def _subnet(found: Found) -> Subnet:
    dhcp = found["ip_version"] == 4 and found["enable_dhcp"]
    return Subnet(
        id=found["id"],
        network_id=found["network_id"],
        gateway_ip=found["gateway_ip"],
        # Neutron tells of them by DHCPv4 alone.
        host_routes={one["destination"]: one["nexthop"] for one in found["host_routes"] if dhcp},
        dhcp=dhcp,
        slaac=found["ipv6_address_mode"] in SLAAC,
    )


def _is_a_routers(port: Found) -> bool:
    return str(port["device_owner"]).startswith((*INTERFACES, GATEWAY))


def _router_port(port: Found) -> RouterPort:
    return RouterPort(
        port_id=port["id"],
        router_id=port["device_id"],
        host=port.get("binding:host_id", ""),
        network_id=port["network_id"],
        mac_address=port["mac_address"],
        addresses=frozenset(ip["ip_address"] for ip in port["fixed_ips"]),
        gateway=port["device_owner"] == GATEWAY,
    )


def _router(found: Found, ports: Iterable[Found]) -> Router:
    return Router(
        id=found["id"],
        name=found["name"],
        up=found["admin_state_up"],
        interfaces={
            ip["subnet_id"]: ip["ip_address"]
            for port in ports
            if port["device_id"] == found["id"] and port["device_owner"].startswith(INTERFACES)
            for ip in port["fixed_ips"]
        },
        external=(found.get("external_gateway_info") or {}).get("network_id", ""),
        routes=bool(found.get("routes")),
    )


def _rule(found: Found) -> Rule:
    return Rule(
        id=found["id"],
        group_id=found["security_group_id"],
        direction=found["direction"],
        ethertype=found["ethertype"],
        protocol=found["protocol"],
        port_min=found["port_range_min"],
        port_max=found["port_range_max"],
        remote_prefix=found["remote_ip_prefix"],
        remote_group=found["remote_group_id"],
        remote_address_group=found.get("remote_address_group_id"),
    )
