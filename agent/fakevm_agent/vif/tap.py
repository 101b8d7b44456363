"""The driver of a VIF whose device stands for itself in the host."""

from __future__ import annotations

from fakevm.model import Vif, Vm
from fakevm_agent.vif.driver import Driver


class Tap(Driver):
    """vif_type tap: the L2 agent does what is to be done with the device, as routing to it.

    nova/virt/libvirt/vif.py, plug_tap, which makes the device and nothing else.
    """

    def plug(self, vif: Vif, vm: Vm) -> None:
        """Do nothing: the device is there."""

    def unplug(self, vif: Vif, vm: Vm) -> None:
        """Do nothing: the device goes with the VIF."""
