"""Ports, bindings, networks and agents as Neutron has them: values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PortIp:
    """One of a port's fixed IPs, as Neutron has it."""

    ip_address: str
    subnet_id: str


@dataclass(frozen=True, kw_only=True)
class Port:
    """A port; what was not asked for is empty."""

    id: str
    name: str = ""
    network_id: str = ""
    project_id: str = ""
    mac_address: str = ""
    status: str = ""
    device_id: str = ""
    device_owner: str = ""
    description: str = ""
    # Of the active binding.
    host: str = ""
    vif_type: str = ""
    vif_details: Mapping[str, Any] = field(default_factory=dict)
    vnic_type: str = "normal"
    profile: Mapping[str, Any] = field(default_factory=dict)
    fixed_ips: tuple[PortIp, ...] = ()
    admin_state_up: bool = True
    # ISO 8601, to the second.
    created_at: str = ""

    @property
    def bound(self) -> bool:
        """Whether a host has it."""
        return bool(self.host) and self.vif_type not in ("unbound", "binding_failed")


@dataclass(frozen=True, kw_only=True)
class Binding:
    """A port's binding to one host."""

    host: str
    status: str
    vif_type: str
    vif_details: Mapping[str, Any]
    vnic_type: str = "normal"
    profile: Mapping[str, Any] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """Whether the port is on this host; the destination of a migration is not."""
        return self.status == "ACTIVE"


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """A subnet, as far as a VM's addresses depend on it."""

    id: str
    name: str = ""
    cidr: str
    ip_version: int
    gateway_ip: str | None = None
    enable_dhcp: bool = True
    ipv6_address_mode: str | None = None
    ipv6_ra_mode: str | None = None

    @property
    def prefix_len(self) -> int:
        """The length of its prefix."""
        return int(self.cidr.rpartition("/")[2])


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network with its subnets."""

    id: str
    name: str
    mtu: int
    # vxlan, vlan, flat, …
    type: str = ""
    subnets: tuple[Subnet, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NeutronAgent:
    """A row of Neutron's agent list."""

    id: str
    binary: str
    host: str
    alive: bool
    admin_state_up: bool
    # An L2 agent's: system or netdev.
    datapath: str = ""
    # OVN's: whether routers may reach external networks through this chassis.
    is_gateway: bool = False
    # An Open vSwitch agent's: whether it fills its forwarding tables from Neutron's; None: another.
    l2population: bool | None = None

    @property
    def state(self) -> str:
        """A word for what Neutron says of it."""
        if not self.alive:
            return "down"
        return "alive" if self.admin_state_up else "disabled"


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """A request to Neutron and its answer; the bodies are JSON texts, "" for none."""

    start: float
    end: float
    method: str
    path: str
    status: int
    body: str = ""
    answer: str = ""
