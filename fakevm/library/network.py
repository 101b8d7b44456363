"""A network of a lab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fakevm.lab import FILE_S, Lab
from fakevm.library.behind.making import Making, remove
from fakevm.library.behind.words import NetworkWords
from fakevm.library.handle import Resource
from fakevm.neutron.values import Subnet


@dataclass(frozen=True, kw_only=True)
class Network(Resource):
    """A network and its subnets."""

    _path = "/networks"
    _member = "network"

    @property
    def mtu(self) -> int:
        """How long its packets may be."""
        return self.lab.neutron.network(self.id).mtu

    @property
    def subnets(self) -> tuple[Subnet, ...]:
        """Its subnets, those of IPv4 first."""
        return self.lab.neutron.network(self.id).subnets

    def delete(self) -> None:
        """Delete it with its subnets; content if it is gone. ConflictError: it is in use."""
        remove(self.lab, "network", self.id)


def make(lab: Lab, name: str, words: NetworkWords) -> Network:
    """Let a lab have a network as these words say."""
    making = Making(lab, "network", name)
    making.part.networks(name=[name])
    said: dict[str, Any] = {**words}
    if policy := words.get("qos_policy"):
        said["qos_policy"] = making.policy(policy)
    return Network(lab=lab, name=name, id=making.make(said, timeout_s=FILE_S))
