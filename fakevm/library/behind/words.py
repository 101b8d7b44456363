"""The lab file's words as Python's types: what an editor and mypy know of them.

They are those of `fakevm.labfile.model`, which has their meaning and checks them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Required, TypeAlias, TypedDict

if TYPE_CHECKING:
    from fakevm.library.network import Network
    from fakevm.library.qos_policy import QosPolicy
    from fakevm.library.security_group import SecurityGroup
    from fakevm.library.vm import Vm
    from fakevm.neutron.values import Port

# Each by its object, or its name.
NetworkLike: TypeAlias = "Network | str"
GroupLike: TypeAlias = "SecurityGroup | str"
PolicyLike: TypeAlias = "QosPolicy | str"
# A VM's NIC: by its port, its port's name, or the VM that has no other one.
NicLike: TypeAlias = "Vm | Port | str"

Addressing = Literal["dhcp", "static", "none"]
V6Mode = Literal["slaac", "dhcpv6-stateful", "dhcpv6-stateless"]


class LabWords(TypedDict, total=False):
    """How a lab is made."""

    computes: int
    backend: Literal["ovs", "ovn"]
    neutron: str
    host_neutron: Mapping[str, str]
    auth: Literal["noauth", "keystone"]
    api_port: int
    keystone_port: int
    datapath: Literal["auto", "system", "netdev"]
    l2population: bool
    firewall: Literal["openvswitch", "iptables_hybrid", "noop"]
    metadata: bool
    answer_as_nova: bool
    mechanism_drivers: Sequence[str]
    type_drivers: Sequence[str]
    extension_drivers: Sequence[str]
    service_plugins: Sequence[str]
    l2_agent: str
    config: str | Path
    neutron_src: str | Path
    packages: Sequence[str]


class PoolWords(TypedDict):
    """Addresses that Neutron may give out."""

    start: str
    end: str


class RouteWords(TypedDict):
    """A way to somewhere."""

    destination: str
    nexthop: str


class SubnetWords(TypedDict, total=False):
    """A subnet."""

    cidr: Required[str]
    name: str
    gateway_ip: str | None
    enable_dhcp: bool
    allocation_pools: Sequence[PoolWords]
    dns_nameservers: Sequence[str]
    host_routes: Sequence[RouteWords]
    ipv6_address_mode: V6Mode
    ipv6_ra_mode: V6Mode


class NetworkWords(TypedDict, total=False):
    """A network and its subnets."""

    network_type: Literal["vxlan", "geneve", "gre", "vlan", "flat", "local"]
    physical_network: str
    segmentation_id: int
    mtu: int
    shared: bool
    external: bool
    admin_state_up: bool
    port_security_enabled: bool
    qos_policy: PolicyLike
    subnets: Sequence[str | SubnetWords]


class GatewayWords(TypedDict, total=False):
    """A router's way outside."""

    network: Required[NetworkLike]
    enable_snat: bool
    external_fixed_ips: Sequence[str]


class InterfaceWords(TypedDict, total=False):
    """A router's end on a subnet, or of a network on all."""

    subnet: Required[NetworkLike]
    ip_address: str


class RouterWords(TypedDict, total=False):
    """A router."""

    external_gateway: NetworkLike | GatewayWords
    interfaces: Sequence[NetworkLike | InterfaceWords]
    routes: Sequence[RouteWords]
    admin_state_up: bool
    ha: bool
    distributed: bool


class SecurityGroupWords(TypedDict, total=False):
    """A security group."""

    rules: Sequence[str]
    stateful: bool
    default_rules: bool


class AddressPairWords(TypedDict, total=False):
    """An address that a port may send from beside its own."""

    ip_address: Required[str]
    mac_address: str


class BandwidthLimitWords(TypedDict, total=False):
    """How much traffic may go one way."""

    max_kbps: Required[int]
    max_burst_kbps: int


class BandwidthLimitsWords(TypedDict, total=False):
    """By direction, as the VM sees it."""

    egress: BandwidthLimitWords
    ingress: BandwidthLimitWords


class PacketRateLimitWords(TypedDict, total=False):
    """How many packets may go one way."""

    max_kpps: Required[int]
    max_burst_kpps: int


class PacketRateLimitsWords(TypedDict, total=False):
    """By direction, as the VM sees it."""

    egress: PacketRateLimitWords
    ingress: PacketRateLimitWords


class QosPolicyWords(TypedDict, total=False):
    """A QoS policy."""

    shared: bool
    bandwidth_limit: BandwidthLimitsWords
    packet_rate_limit: PacketRateLimitsWords
    dscp_mark: int


class EachPortWords(TypedDict, total=False):
    """What all ports may have in common."""

    security_groups: Sequence[GroupLike]
    port_security_enabled: bool
    allowed_address_pairs: Sequence[str | AddressPairWords]
    qos_policy: PolicyLike
    admin_state_up: bool


class EachNicWords(EachPortWords, total=False):
    """What all of a VM's NICs may have in common."""

    vnic_type: str
    addressing: Addressing


class NicWords(EachNicWords, total=False):
    """A VM's NIC."""

    network: Required[NetworkLike]
    name: str
    mac_address: str
    fixed_ips: Sequence[str]


class SubportWords(EachPortWords, total=False):
    """What a trunk carries in a VLAN."""

    network: Required[NetworkLike]
    segmentation_id: Required[int]
    name: str
    mac_address: str
    fixed_ips: Sequence[str]


class TrunkWords(TypedDict, total=False):
    """A trunk."""

    port: Required[NicLike]
    sub_ports: Sequence[SubportWords]
    admin_state_up: bool


class FloatingIpWords(TypedDict, total=False):
    """An address of an external network."""

    network: Required[NetworkLike]
    floating_ip_address: str
    fixed_ip_address: str
