"""os-vif without Open vSwitch: it keeps what is plugged."""

from __future__ import annotations

from dataclasses import dataclass, field

from fakevm.model import Vif, Vm


@dataclass(frozen=True)
class Subject:
    """What os-vif is asked to plug: a port of a bridge of this kind."""

    kind: str
    bridge: str
    port_id: str


@dataclass
class FakeOsVif:
    """What is plugged, and the VM of each."""

    plugged: dict[Subject, Vm] = field(default_factory=dict)

    def open_vswitch(self, vif: Vif) -> Subject:
        return Subject("Open vSwitch", str(vif.vif_details["bridge_name"]), vif.port_id)

    def linux_bridge(self, vif: Vif, *, name: str) -> Subject:
        return Subject("Linux bridge", name, vif.port_id)

    def plug(self, subject: Subject, vm: Vm) -> None:
        self.plugged[subject] = vm

    def unplug(self, subject: Subject, vm: Vm) -> None:
        self.plugged.pop(subject, None)
