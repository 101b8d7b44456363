"""What a VIF driver is: the one way to plug VIFs of one vif_type."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fakevm.errors import ConflictError
from fakevm.model import Vif, Vm
from fakevm_agent.kernel.netlink import Link
from fakevm_agent.vif.names import tap_name

# os-vif is loaded when something is plugged.
if TYPE_CHECKING:
    from fakevm_agent.vif.osvif import OsVif


class Driver(ABC):
    """One way to plug: what is between a VIF's device and who wires it.

    The device, `vif.device`, is the outer end of the VIF's veth pair. The agent makes it, sets it
    up and deletes it; what it is plugged into, and the devices in between, are the driver's. A
    driver touches nothing else: not the VM's namespace, not the agent's record, not Neutron. What
    it does is safe to repeat and in threads, for different ports. Of what goes wrong it raises
    fakevm.errors.FakevmError; anything else is told as a fault of the driver's.
    """

    # Whether what it plugs is a port of Open vSwitch's, which its L2 agent or ovn-controller finds
    # by its iface-id; the agent then keeps its record there, and waits until the port is opened.
    in_open_vswitch = False

    def __init__(self, osvif: "OsVif") -> None:
        """Take what the drivers share; few need it."""
        self.osvif = osvif

    def check(self, vif: Vif) -> None:
        """Raise ConflictError where it can't plug this VIF; before anything is made."""
        if vif.vnic_type != "normal":
            raise other_guest(vif)

    @abstractmethod
    def plug(self, vif: Vif, vm: Vm) -> None:
        """Make what is before the device. With Open vSwitch, a late tap's device comes after it."""

    def connect(self, vif: Vif) -> None:  # noqa: B027 (most have nothing to do)
        """Lead a device that is new to what `plug` made."""

    @abstractmethod
    def unplug(self, vif: Vif, vm: Vm) -> None:
        """Remove what `plug` made; content if it is gone. The device may be gone."""

    def is_connected(self, vif: Vif, links: Mapping[str, Link]) -> bool:
        """Tell whether the way from the device on is whole, by the host's device and `devices`."""
        return True

    def port_name(self, port_id: str) -> str:
        """Return the name of the port's interface in Open vSwitch, or of its device."""
        return tap_name(port_id)

    def devices(self, port_id: str) -> tuple[str, ...]:
        """Return the names of the devices in between, in the order in which they are deleted."""
        return ()

    def strays(self, keep: frozenset[str], links: Mapping[str, Link]) -> list[Link]:
        """Return those of the host's devices that this driver made for ports not in `keep`."""
        return []


def other_guest(vif: Vif) -> ConflictError:
    """Return what is raised of a VIF that is of a kind for other guests."""
    return ConflictError(
        f"port {vif.port_id} can't be plugged into an emulated VM: vif_type "
        f"{vif.vif_type}, vnic_type {vif.vnic_type}; only normal can",
        hint=f"fakevm openstack port set --vnic-type normal {vif.port_id}",
    )
