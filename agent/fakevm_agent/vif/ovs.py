"""The driver of a VIF whose device is itself a port of Open vSwitch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fakevm.model import Vif, Vm
from fakevm_agent.kernel.netlink import Link
from fakevm_agent.vif.driver import refusal
from fakevm_agent.vif.names import tap_name

# os-vif is only where VIFs are plugged.
if TYPE_CHECKING:
    from fakevm_agent.vif.osvif import OsVif


class Ovs:
    """vif_type ovs: the device is the port, and nothing is in between."""

    def __init__(self, osvif: OsVif) -> None:
        self._osvif = osvif

    def check(self, vif: Vif) -> None:
        """Raise ConflictError for what is not a tap: SR-IOV, vDPA and the like."""
        if vif.vnic_type != "normal":
            raise refusal(vif)

    def port_name(self, port_id: str) -> str:
        """Return the device's own name."""
        return tap_name(port_id)

    def devices(self, port_id: str) -> tuple[str, ...]:
        """Return none."""
        return ()

    def is_connected(self, vif: Vif, links: Mapping[str, Link]) -> bool:
        """Return True: there is nothing to be broken."""
        return True

    def strays(self, keep: frozenset[str], links: Mapping[str, Link]) -> list[Link]:
        """Return none."""
        return []

    def plug(self, vif: Vif, vm: Vm) -> None:
        """Make the device a port."""
        self._osvif.plug(self._osvif.open_vswitch(vif), vm)

    def connect(self, vif: Vif) -> None:
        """Do nothing: ovs-vswitchd opens the device by its name."""

    def unplug(self, vif: Vif, vm: Vm) -> None:
        """Delete the port."""
        self._osvif.unplug(self._osvif.open_vswitch(vif), vm)
