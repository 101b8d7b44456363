"""What a backend's flows mean: the words of a packet's way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fakevm.backends.openflow import Key, Step, Traced, key
from fakevm.backends.packet import Packet

Direction = Literal["egress", "ingress"]


@dataclass(frozen=True, kw_only=True)
class Sense:
    """What happens to a packet at one place, in words."""

    # As "br-tun, table 20".
    where: str
    words: str
    # Security groups' rules decide here; which of them, Neutron's objects say.
    rules: Direction | None = None
    # What shows that packets came by.
    flows: tuple[Key, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Passage:
    """What a packet passes through, in order; and what ends its way, if that is one of these."""

    senses: tuple[Sense, ...] = ()
    end: Sense | None = None


def cut_by(step: Step) -> Sense:
    """Return what ends a way whose link is cut on purpose."""
    words = "its link is cut, by `fakevm cut`"
    return Sense(where=f"{step.bridge}, table {step.table}", words=words, flows=(key(step),))


class Pipeline(ABC):
    """How a backend's hosts lead packets."""

    # Whether routers are namespaces of hosts, into whose ports packets go; else they are flows.
    routers_are_namespaces: bool

    @abstractmethod
    def passage(self, traced: Traced) -> Passage:
        """Return what a packet's way through a host means."""


class Logical(ABC):
    """Who tells of the way without the hosts: by a command in a service's container."""

    service: str

    @abstractmethod
    def argv(self, packet: Packet, *, port_id: str, network_id: str) -> Sequence[str]:
        """Return what is asked: where a packet goes that comes from a port."""

    @abstractmethod
    def passage(
        self, text: str, *, source: str, target: str, routers: Mapping[str, str]
    ) -> Passage:
        """Return what is answered of a way between two ports.

        routers: what they are called, by port.
        """
