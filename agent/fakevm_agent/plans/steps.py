"""The steps of a plan: what can be done for a VIF."""

from dataclasses import dataclass

from fakevm_agent.kernel.ip import Route
from fakevm_agent.ovs.interface import Interface
from fakevm_agent.records import Record


@dataclass(frozen=True)
class MakeNetns:
    """Make the VM's netns and folder."""


@dataclass(frozen=True)
class RemoveDevice:
    """Remove what is left of a device that was made by half, or in a netns that is gone."""


@dataclass(frozen=True)
class MakeNic:
    """Make the veth pair: the device here, the NIC in the VM."""


@dataclass(frozen=True)
class StartNic:
    """Prepare the new NIC inside, and set it up if the VM is not paused."""


@dataclass(frozen=True)
class SetNic:
    """Give the NIC its MAC and MTU."""

    mac_address: str
    mtu: int


@dataclass(frozen=True)
class SetState:
    """Set the NIC up or down: the guest runs, or is paused."""

    up: bool


@dataclass(frozen=True)
class StopClients:
    """Let the NIC ask for no address any more: end its DHCP clients, hear no advertisements."""


@dataclass(frozen=True)
class SetAddresses:
    """Give the NIC its static addresses and default routes."""

    add: tuple[str, ...]
    remove: tuple[str, ...]
    routes: tuple[Route, ...]


@dataclass(frozen=True)
class UnplugPort:
    """Unplug the port as it was plugged before."""

    record: Record
    interface: Interface


@dataclass(frozen=True)
class PlugPort:
    """Plug the device; not `new`: its port is there, what is before it is not."""

    new: bool


@dataclass(frozen=True)
class MissDevice:
    """Wait until ovs-vswitchd has found no device for the port."""


@dataclass(frozen=True)
class Connect:
    """Lead the device to what its driver has made for it."""


@dataclass(frozen=True)
class Remember:
    """Keep the record in OVSDB."""


Step = (
    MakeNetns
    | RemoveDevice
    | MakeNic
    | StartNic
    | SetNic
    | SetState
    | StopClients
    | SetAddresses
    | UnplugPort
    | PlugPort
    | MissDevice
    | Connect
    | Remember
)
