"""What a lab file may say: the schema. The only module that imports pydantic.

Words are the options' of `fakevm up` for the lab, and Neutron's own for what is in it.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from fakevm.errors import ConfigError
from fakevm.inventory import vifs
from fakevm.names import check_lab
from fakevm.stock import rules

# Neutron's limit for a name (neutron_lib/db/constants.py).
NAME_LEN = 255

_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")


def _text(value: Any) -> Any:
    """Return a number as the name that it is meant as."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _printable(text: str) -> str:
    if not text.strip() or text != text.strip() or not text.isprintable():
        raise ValueError(f"{text!r} is no name: printable characters are expected")
    return text


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _cidr(text: str) -> str:
    if "/" not in text:
        raise ValueError(f"a CIDR is expected, as 10.1.0.0/24, not {text!r}")
    return str(ipaddress.ip_network(text))


def _mac(text: str) -> str:
    if not _MAC.fullmatch(text.lower()):
        raise ValueError(f"a MAC address is expected, as fa:16:3e:00:00:01, not {text!r}")
    return text.lower()


def _rule(text: str) -> str:
    return str(rules.parse(text))


def _lab(text: str) -> str:
    return _ours(check_lab, text)


def _vm(text: str) -> str:
    return _ours(lambda name: vifs.vm_of(name).name, text)


def _ours(check: Any, text: str) -> str:
    try:
        return str(check(text))
    except ConfigError as error:
        raise ValueError(str(error)) from error


Text = Annotated[str, BeforeValidator(_text)]
Name = Annotated[Text, Field(min_length=1, max_length=NAME_LEN), AfterValidator(_printable)]
VmName = Annotated[Text, AfterValidator(_vm)]
Address = Annotated[str, AfterValidator(_address)]
Cidr = Annotated[str, AfterValidator(_cidr)]
Mac = Annotated[str, AfterValidator(_mac)]
# The pattern is for an editor: a rule's own error says more.
RuleWords = Annotated[
    str, AfterValidator(_rule), Field(json_schema_extra={"pattern": rules.PATTERN})
]
TcpPort = Annotated[int, Field(ge=1, le=65535)]
Vlan = Annotated[int, Field(ge=1, le=4094)]
Addressing = Literal["dhcp", "static", "none"]
V6Mode = Literal["slaac", "dhcpv6-stateful", "dhcpv6-stateless"]


class Part(BaseModel):
    """What every part of the file has in common; `short`: the key that it may be written as."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    short: ClassVar[str] = ""
    # Keys of which null says something.
    nullable: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _long_form(cls, value: Any) -> Any:
        if cls.short and isinstance(value, str | int) and not isinstance(value, bool):
            return {cls.short: value}
        if value is None:
            return {}
        if isinstance(value, dict):
            # A key with nothing after it is as one that is not there.
            return {k: v for k, v in value.items() if v is not None or k in cls.nullable}
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        made = handler(core)
        whole = handler.resolve_ref_schema(made)
        if not cls.short:
            if not whole.get("required"):
                whole["type"] = ["object", "null"]
            return made
        one = whole.get("properties", {}).get(cls.short, {"type": "string"})
        copied = {key: value for key, value in whole.items() if key != "description"}
        words = whole.get("description", "")
        whole.clear()
        whole |= {"description": words, "anyOf": [one, copied]}
        return made


class Pool(Part):
    """Addresses that Neutron may give out."""

    start: Address
    end: Address


class Route(Part):
    """A way to somewhere."""

    destination: Cidr
    nexthop: Address


class Subnet(Part):
    """A subnet, by its CIDR; short: the CIDR alone."""

    short = "cidr"
    nullable = frozenset({"gateway_ip"})

    cidr: Cidr
    name: Annotated[Text, Field(max_length=NAME_LEN)] | None = None
    # Null: none. Left out: the first address.
    gateway_ip: Address | None = None
    enable_dhcp: bool = True
    allocation_pools: list[Pool] = []
    dns_nameservers: list[Address] = []
    host_routes: list[Route] = []
    ipv6_address_mode: V6Mode | None = None
    ipv6_ra_mode: V6Mode | None = None


class Network(Part):
    """A network and its subnets."""

    network_type: Literal["vxlan", "geneve", "gre", "vlan", "flat", "local"] | None = None
    physical_network: Name | None = None
    segmentation_id: Annotated[int, Field(ge=1)] | None = None
    mtu: Annotated[int, Field(ge=68, le=65535)] | None = None
    shared: bool = False
    external: bool = False
    admin_state_up: bool = True
    port_security_enabled: bool = True
    qos_policy: Name | None = None
    subnets: list[Subnet] = []


class Gateway(Part):
    """A router's way outside; short: the network alone."""

    short = "network"

    network: Name
    enable_snat: bool | None = None
    external_fixed_ips: list[Address] = []


class Interface(Part):
    """A router's end; short: a subnet's name or CIDR, or a network's name for all its subnets."""

    short = "subnet"

    subnet: Name
    # Left out: the subnet's gateway.
    ip_address: Address | None = None


class Router(Part):
    """A router."""

    external_gateway: Gateway | None = None
    interfaces: list[Interface] = []
    routes: list[Route] = []
    admin_state_up: bool = True
    ha: bool | None = None
    distributed: bool | None = None


class SecurityGroup(Part):
    """A security group; its rules are words, as "ingress tcp 80 from 0.0.0.0/0"."""

    rules: list[RuleWords] = []
    stateful: bool = True
    # Neutron's own two rules, which let everything out.
    default_rules: bool = True


class BandwidthLimit(Part):
    """How much traffic may go one way."""

    max_kbps: Annotated[int, Field(ge=1)]
    max_burst_kbps: Annotated[int, Field(ge=0)] = 0


class BandwidthLimits(Part):
    """By direction, as the VM sees it."""

    egress: BandwidthLimit | None = None
    ingress: BandwidthLimit | None = None


class PacketRateLimit(Part):
    """How many packets may go one way."""

    max_kpps: Annotated[int, Field(ge=1)]
    max_burst_kpps: Annotated[int, Field(ge=0)] = 0


class PacketRateLimits(Part):
    """By direction, as the VM sees it."""

    egress: PacketRateLimit | None = None
    ingress: PacketRateLimit | None = None


class QosPolicy(Part):
    """A QoS policy."""

    shared: bool = False
    bandwidth_limit: BandwidthLimits | None = None
    packet_rate_limit: PacketRateLimits | None = None
    dscp_mark: Annotated[int, Field(ge=0, le=56, multiple_of=2)] | None = None


class AddressPair(Part):
    """An address that a port may send from beside its own; short: the IP address or CIDR alone."""

    short = "ip_address"

    ip_address: Text
    mac_address: Mac | None = None

    @model_validator(mode="after")
    def _is_an_address(self) -> AddressPair:
        # As Neutron: an address alone stays one.
        ipaddress.ip_network(self.ip_address, strict=False)
        return self


class Port(Part):
    """What all ports have."""

    network: Name
    name: Annotated[Text, Field(max_length=NAME_LEN)] | None = None
    mac_address: Mac | None = None
    fixed_ips: list[Address] = []
    # Left out: the project's default group.
    security_groups: list[Name] | None = None
    # Left out: as its network has it.
    port_security_enabled: bool | None = None
    allowed_address_pairs: list[AddressPair] = []
    qos_policy: Name | None = None
    admin_state_up: bool = True


class Nic(Port):
    """A VM's NIC; short: its network alone."""

    short = "network"

    vnic_type: Name = "normal"
    addressing: Addressing = "dhcp"


class Subport(Port):
    """What a trunk carries in a VLAN."""

    segmentation_id: Vlan


class Trunk(Part):
    """A trunk: its parent is a NIC, by its port's name, or the VM's that has no other one."""

    port: Name
    sub_ports: list[Subport] = []
    admin_state_up: bool = True


class FloatingIp(Part):
    """An address of an external network, for a NIC; short: the network alone."""

    short = "network"

    network: Name
    floating_ip_address: Address | None = None
    fixed_ip_address: Address | None = None


class VirtualMachine(Part):
    """A VM."""

    # Left out: where it is, or the host with the fewest.
    host: Name | None = None
    nics: Annotated[list[Nic], Field(min_length=1)]


class LabFile(Part):
    """A lab of fakevm's: how it is made, and what is in it."""

    name: Annotated[Text, AfterValidator(_lab)] | None = None
    computes: Annotated[int, Field(ge=1, le=64)] | None = None
    backend: Literal["ovs", "ovn"] | None = None
    neutron: Text | None = None
    host_neutron: dict[str, Text] = {}
    auth: Literal["noauth", "keystone"] | None = None
    api_port: TcpPort | None = None
    keystone_port: TcpPort | None = None
    datapath: Literal["auto", "system", "netdev"] | None = None
    l2population: bool | None = None
    firewall: Literal["openvswitch", "iptables_hybrid", "noop"] | None = None
    metadata: bool | None = None
    answer_as_nova: bool | None = None
    mechanism_drivers: list[Name] | None = None
    type_drivers: list[Name] | None = None
    extension_drivers: list[Name] | None = None
    service_plugins: list[Name] | None = None
    l2_agent: Name | None = None
    # Folders, from where the file is.
    config: Name | None = None
    neutron_src: Name | None = None
    packages: list[Name] | None = None

    networks: dict[Name, Network] = {}
    routers: dict[Name, Router] = {}
    security_groups: dict[Name, SecurityGroup] = {}
    qos_policies: dict[Name, QosPolicy] = {}
    trunks: dict[Name, Trunk] = {}
    floating_ips: dict[Name, FloatingIp] = {}
    vms: dict[VmName, VirtualMachine] = {}


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a lab file."""
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return made | dict(_short(LabFile.model_json_schema()))


def _short(value: Any) -> Any:
    """Return a schema without what only repeats its keys, and "or null" of what may be left out."""
    if isinstance(value, list):
        return [_short(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _short(one)
        for key, one in value.items()
        if not (key == "title" and isinstance(one, str)) and not (key == "default" and not one)
    }


__all__ = ["LabFile", "ValidationError", "schema"]
