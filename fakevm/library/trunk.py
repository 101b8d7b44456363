"""A trunk of a lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fakevm.lab import FILE_S, Lab
from fakevm.library.behind.making import Making, remove
from fakevm.library.behind.words import TrunkWords
from fakevm.library.handle import Resource
from fakevm.neutron.values import Port


@dataclass(frozen=True, kw_only=True)
class Trunk(Resource):
    """A trunk: a VM's NIC that carries other networks, each in a VLAN."""

    _path = "/trunks"
    _member = "trunk"

    @property
    def port(self) -> Port:
        """The port of the NIC that it is."""
        return self.lab.neutron.port(self.attributes["port_id"])

    @property
    def sub_ports(self) -> Mapping[int, Port]:
        """What it carries, by segmentation id."""
        return {
            int(one["segmentation_id"]): self.lab.neutron.port(one["port_id"])
            for one in self.attributes["sub_ports"]
        }

    def delete(self) -> None:
        """Delete it with the subports that the library or a file made; content if it is gone.

        Its NIC leaves its VM for that time.
        """
        remove(self.lab, "trunk", self.id)


def make(lab: Lab, name: str, words: TrunkWords) -> Trunk:
    """Let a lab have a trunk as these words say."""
    making = Making(lab, "trunk", name)
    making.part.trunk(name=[name])
    said: dict[str, Any] = {**words, "port": making.nic(words["port"])}
    said["sub_ports"] = [making.port(one) for one in words.get("sub_ports", ())]
    return Trunk(lab=lab, name=name, id=making.make(said, timeout_s=FILE_S))
