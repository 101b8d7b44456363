"""The driver of a VIF whose device is itself a port of Open vSwitch."""

from __future__ import annotations

from fakevm.model import Vif, Vm
from fakevm_agent.vif.driver import Driver


class Ovs(Driver):
    """vif_type ovs: the device is the port, and nothing is in between. ovs-vswitchd opens it."""

    in_open_vswitch = True

    def plug(self, vif: Vif, vm: Vm) -> None:
        """Make the device a port."""
        self.osvif.plug(self.osvif.open_vswitch(vif), vm)

    def unplug(self, vif: Vif, vm: Vm) -> None:
        """Delete the port."""
        self.osvif.unplug(self.osvif.open_vswitch(vif), vm)
