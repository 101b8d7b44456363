"""The values that the command line, the library and the agents share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# Nova cuts 'tap' + port id to this length (nova/network/model.py, NIC_NAME_LEN).
NIC_NAME_LEN = 14

# How a VM comes by one of its addresses.
#   dhcp      a DHCPv4 client in the VM
#   dhcpv6    router advertisements, and a DHCPv6 client in the VM (dhcpv6-stateful)
#   slaac     router advertisements alone (slaac, dhcpv6-stateless)
#   static    the agent sets it, with its gateway
#   none      nobody does
Method = Literal["dhcp", "dhcpv6", "slaac", "static", "none"]


@dataclass(frozen=True, kw_only=True)
class FixedIp:
    """An address that Neutron gave to a port, and how the VM comes by it."""

    ip_address: str
    prefix_len: int
    subnet_id: str
    gateway_ip: str | None = None
    method: Method = "none"


@dataclass(frozen=True, kw_only=True)
class Vif:
    """A Neutron port as its host sees it."""

    port_id: str
    network_id: str
    mac_address: str
    mtu: int
    # As Neutron answered in the binding of this host.
    vif_type: str
    vif_details: Mapping[str, Any] = field(default_factory=dict)
    vnic_type: str = "normal"
    fixed_ips: tuple[FixedIp, ...] = ()
    # os-vif's own field: the port was given to the VM, not made by its boot, and outlives it.
    preserve_on_delete: bool = False

    @property
    def device(self) -> str:
        """The host's end, named as Nova names it: 'tap' and the port id, cut to 14 characters."""
        return f"tap{self.port_id}"[:NIC_NAME_LEN]


@dataclass(frozen=True, kw_only=True)
class Vm:
    """An emulated instance; `instance_id`, the port's device_id, names its netns."""

    instance_id: str
    name: str
    project_id: str = ""


@dataclass(frozen=True, kw_only=True)
class PluggedVif:
    """What a host has of a VIF, read from OVSDB and the kernel."""

    port_id: str
    instance_id: str
    vm_name: str
    netns: str
    nic: str
    device: str
    mac_address: str
    mtu: int
    # None: the device or the interface is not there. -1: OVS could not open the device.
    ofport: int | None
    # Whether its VIF driver makes it a port of Open vSwitch's; else it has neither ofport nor tag.
    in_open_vswitch: bool = True
    # The local VLAN that the L2 agent gave the port in its last step of wiring it, just before it
    # reports the device up (ovs_neutron_agent._bind_devices). None: not wired (or its dead VLAN).
    vlan_tag: int | None = None
    # OVS's own words where the interface is in error, or what is missing; "" where all is well.
    error: str = ""
    # With prefix length, as the kernel shows them; link-local ones are left out.
    addresses: tuple[str, ...] = ()
    # As they were plugged, so that a migration can hand them on.
    fixed_ips: tuple[FixedIp, ...] = ()
    # Its DHCP and SLAAC clients were asked for.
    configured: bool = False
    # Its VM is paused, or not started yet: its NIC is down.
    paused: bool = False
    preserve_on_delete: bool = False


@dataclass(frozen=True, kw_only=True)
class PluggedVm:
    """A VM that a host has, by what its devices tell."""

    instance_id: str
    name: str
    # By NIC.
    port_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class GuestNic:
    """A NIC of a guest that is paused: its name and its number in the guest's netns."""

    port_id: str
    nic: str
    index: int


@dataclass(frozen=True, kw_only=True)
class GuestState:
    """What a guest had in its netns when it was paused: one host's agent hands it to another's.

    Of interest to others are `time`, `processes` and `not_moved`.
    """

    # When the last NIC was down.
    time: float
    # What ran in the guest, by PID: it does not move.
    processes: Mapping[int, str] = field(default_factory=dict)
    # What else does not, in words.
    not_moved: tuple[str, ...] = ()
    nics: tuple[GuestNic, ...] = ()
    # The kernel's own messages, in base64 (rtnetlink(7)).
    addresses: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    # Below /proc/sys; only what is not as the agent sets it.
    sysctls: Mapping[str, str] = field(default_factory=dict)
    # DHCP leases and the resolver, by path in the VM's folder.
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class HostInfo:
    """What a host says of itself."""

    host: str
    version: str
    datapath: str
    ovs_version: str
    vms: int
    vifs: int
    # What is broken in it on purpose, as "stop l2-agent".
    outages: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Server:
    """What Nova's database has of a server that no host has; nova-events keeps it."""

    instance_id: str
    # None: on no host, as when it is shelved.
    host: str | None = None
    # "": not known.
    name: str = ""
    project_id: str = ""
    # The ports that it was given, and all of its ports by NIC.
    given: tuple[str, ...] = ()
    nics: tuple[str, ...] = ()
    # Where a cold migration came from that is not confirmed yet; "": there is none.
    resized_from: str = ""

    @property
    def shelved(self) -> bool:
        """Whether it was taken from its host, and is to come back."""
        return self.host is None and bool(self.nics)

    def unconfirmed_from(self, host: str) -> str:
        """Return where a VM that is on `host` came from unconfirmed; "": it did not, or is back."""
        return "" if self.resized_from == host else self.resized_from


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An event that Neutron sent to Nova, or a step that fakevm took."""

    # Only grows, also over a restart of what keeps it: a cursor is one of these.
    seq: int
    # When it arrived, in seconds since the epoch.
    time: float
    kind: Literal["event", "step"]
    instance_id: str
    # "": none, or all of the instance's.
    port_id: str
    # An event's, as "network-vif-plugged", or a step's.
    name: str
    # Of an event: completed, failed, in-progress. Of a step: started, done, failed, undone.
    status: str
    # The service that sent it, or its address; a step's actor.
    source: str
    # What an event was answered with; 0 of a step.
    code: int = 0
    # One boot's or migration's id; "" of an event.
    operation: str = ""
