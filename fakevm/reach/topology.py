"""What of Neutron's objects decides who reaches whom: values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Nic:
    """A port of a VM's."""

    port_id: str
    instance_id: str
    host: str
    network_id: str
    # The subnet of each.
    addresses: Mapping[str, str]
    groups: frozenset[str] = frozenset()
    # Whether security groups are applied at all.
    port_security: bool = True
    # Administratively. Its network's state drops nothing: agents are told the port's own.
    up: bool = True
    # Its rules are the kernel's, on a Linux bridge of its own: Open vSwitch sees none of them.
    hybrid: bool = False
    # A trunk's, if this is its parent: NICs that the VM alone knows, as VLANs of this one.
    subports: tuple[Nic, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """A subnet."""

    id: str
    network_id: str
    gateway_ip: str | None = None
    # Other ways than by its gateway that VMs are told of, by what they lead to (a CIDR).
    host_routes: Mapping[str, str] = field(default_factory=dict)
    # VMs are told their addresses by DHCPv4, or learn them from router advertisements alone.
    dhcp: bool = False
    slaac: bool = False


@dataclass(frozen=True, kw_only=True)
class RouterPort:
    """A router's port on one of its networks, or its gateway."""

    port_id: str
    router_id: str
    # "": of no host's, as OVN's are.
    host: str
    network_id: str
    mac_address: str
    addresses: frozenset[str]
    gateway: bool = False


@dataclass(frozen=True, kw_only=True)
class Router:
    """A router."""

    id: str
    name: str = ""
    up: bool = True
    # Its address on each subnet.
    interfaces: Mapping[str, str] = field(default_factory=dict)
    # The network that its gateway is on; "": it has none.
    external: str = ""
    # Whether it has routes of its own, which nobody follows here.
    routes: bool = False


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule of a security group, which allows."""

    group_id: str
    id: str = ""
    # ingress or egress.
    direction: str
    # IPv4 or IPv6.
    ethertype: str
    # A name, or a number; None: all.
    protocol: str | None = None
    # Of ICMP: type and code; of others: the first and the last port. None: all.
    port_min: int | None = None
    port_max: int | None = None
    # None: all.
    remote_prefix: str | None = None
    remote_group: str | None = None
    remote_address_group: str | None = None


@dataclass(frozen=True, kw_only=True)
class Topology:
    """All of it."""

    nics: tuple[Nic, ...]
    # By id.
    subnets: Mapping[str, Subnet] = field(default_factory=dict)
    routers: tuple[Router, ...] = ()
    router_ports: tuple[RouterPort, ...] = ()
    rules: tuple[Rule, ...] = ()
    # Names of security groups, by id.
    groups: Mapping[str, str] = field(default_factory=dict)
    # Groups whose answers need rules of their own.
    stateless: frozenset[str] = frozenset()
    # Of both Neutron's objects tell nothing: whether rules are applied at all, and whether DHCP
    # agents serve the VMs.
    filtered: bool = True
    dhcp_agents: bool = False
    # CIDRs, by address group.
    address_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
