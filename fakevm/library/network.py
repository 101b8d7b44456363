"""A network of a lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fakevm.lab import FILE_S, Lab
from fakevm.library.handle import Handle
from fakevm.library.making import Making, remove
from fakevm.library.words import NetworkWords
from fakevm.neutron.values import Subnet


@dataclass(frozen=True, kw_only=True)
class Network(Handle):
    """A network and its subnets."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """All that Neutron says of it."""
        found: Mapping[str, Any] = self.lab.neutron.answer(f"/networks/{self.id}")["network"]
        return found

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
    making.policy(words.get("qos_policy"))
    return Network(lab=lab, name=name, id=making.make(words, timeout_s=FILE_S))
