"""What a VIF driver is, and which of them a VIF takes."""

from collections.abc import Mapping
from typing import Protocol

from fakevm.errors import ConflictError
from fakevm.model import Vif, Vm
from fakevm_agent.kernel.netlink import Link

# What a driver is chosen by: a binding's vif_type, and its vif_details' ovs_hybrid_plug
# (nova/network/os_vif_util.py).
Kind = tuple[str, bool]

# What stands in a binding's vif_type instead of a way to plug (nova/network/model.py).
_NOT_BOUND = {
    "binding_failed": (
        "Neutron could not bind it to this host",
        "see that the host's L2 agent is alive: fakevm openstack network agent list",
    ),
    "unbound": ("it is not bound to a host", "fakevm plug --host HOST PORT"),
}


class Driver(Protocol):
    """One way to plug: what is between a VIF's device and the bridge of Open vSwitch.

    The device is the outer end of the VIF's veth pair. The agent makes and deletes it; its port in
    Open vSwitch and the devices in between are the driver's. A driver touches nothing else: not
    the VM's namespace, not the agent's record in the database, not Neutron. What it does is safe
    to repeat and in threads, for different ports, and raises FakevmError.
    """

    def check(self, vif: Vif) -> None:
        """Raise ConflictError where it can't plug this VIF; before anything is made."""

    def port_name(self, port_id: str) -> str:
        """Return the name of the port's interface in Open vSwitch."""

    def devices(self, port_id: str) -> tuple[str, ...]:
        """Return the names of the devices in between, in the order in which they are deleted."""

    def is_connected(self, vif: Vif, links: Mapping[str, Link]) -> bool:
        """Tell whether the way from the device to its port is whole, from the host's devices."""

    def strays(self, keep: frozenset[str], links: Mapping[str, Link]) -> list[Link]:
        """Return those of the host's devices that this driver made for ports not in `keep`."""

    def plug(self, vif: Vif, vm: Vm) -> None:
        """Make the port and the devices in between. A late tap's own device comes after it."""

    def connect(self, vif: Vif) -> None:
        """Lead a device that is new to what `plug` made."""

    def unplug(self, vif: Vif, vm: Vm) -> None:
        """Remove what `plug` made; content if it is gone."""


class Drivers:
    """The drivers of a host."""

    def __init__(self, by_kind: Mapping[Kind, Driver]) -> None:
        self._by_kind = by_kind

    def of(self, vif: Vif) -> Driver:
        """Return the VIF's driver, or raise ConflictError where there is no way to plug it."""
        if vif.vif_type in _NOT_BOUND:
            reason, hint = _NOT_BOUND[vif.vif_type]
            raise ConflictError(
                f"port {vif.port_id} can't be plugged: {reason} (vif_type {vif.vif_type})",
                hint=hint.replace("PORT", vif.port_id),
            )
        hybrid = bool(vif.vif_details.get("ovs_hybrid_plug", False))
        driver = self._by_kind.get((vif.vif_type, hybrid))
        if driver is None:
            raise refusal(vif)
        return driver

    def port_name(self, vif: Vif) -> str:
        """Return the name of the VIF's interface in Open vSwitch."""
        return self.of(vif).port_name(vif.port_id)

    def port_names(self, port_id: str) -> tuple[str, ...]:
        """Return the names that a port's interface may have, whoever plugged it."""
        return tuple(driver.port_name(port_id) for driver in self._by_kind.values())

    def devices(self, port_id: str) -> tuple[str, ...]:
        """Return the names of all devices that may be between a port's device and Open vSwitch."""
        return tuple(n for driver in self._by_kind.values() for n in driver.devices(port_id))

    def strays(self, keep: frozenset[str], links: Mapping[str, Link]) -> list[Link]:
        """Return the devices in between that are of no port in `keep`."""
        return [link for driver in self._by_kind.values() for link in driver.strays(keep, links)]


def refusal(vif: Vif) -> ConflictError:
    """Return what is raised of a VIF that is of a kind for other guests."""
    return ConflictError(
        f"port {vif.port_id} can't be plugged into an emulated VM: vif_type "
        f"{vif.vif_type}, vnic_type {vif.vnic_type}; only ovs with normal can",
        hint=f"fakevm openstack port set --vnic-type normal {vif.port_id}",
    )
