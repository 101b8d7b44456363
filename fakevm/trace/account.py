"""The account of a packet's way: what is told of it, and where it ends."""

from __future__ import annotations

from collections.abc import Mapping

from fakevm.backends.openflow import Key
from fakevm.backends.packet import Packet
from fakevm.backends.pipeline import Direction, Passage
from fakevm.reach.topology import Nic, Topology
from fakevm.trace.values import Ended, Hop, Told
from fakevm.trace.words import Filter, filter_of

_WHITHER: Mapping[Direction, str] = {"egress": "out", "ingress": "in"}


class Account:
    """Of a packet from one NIC to another."""

    def __init__(self, topology: Topology, source: Nic, target: Nic) -> None:
        self._topology = topology
        self._nics: Mapping[Direction, tuple[Nic, Nic]] = {
            "egress": (source, target),
            "ingress": (target, source),
        }
        # At which ends security groups were met.
        self._met: set[Direction] = set()
        self.told: list[Told] = []

    def tell(self, host: str, where: str, what: str, *, flows: tuple[Key, ...] = ()) -> None:
        """Add what happens to the packet at one place."""
        self.told.append(Told(hop=Hop(host=host, where=where, what=what), flows=flows))

    def passed(self, host: str, passage: Passage, packet: Packet) -> None:
        """Add what the packet passes, and end where its way does."""
        for sense in passage.senses:
            if sense.rules:
                said = self._filter(sense.rules, packet)
                self._tell_filter(sense.rules, said, _passes(sense.rules, said), sense.flows)
            else:
                self.tell(host, sense.where, sense.words, flows=sense.flows)
        end = passage.end
        if end is None:
            return
        if end.rules:
            said = self._filter(end.rules, packet)
            self._tell_filter(end.rules, said, said.why, end.flows)
            raise Ended(self._refused(end.rules, said, end.where))
        self.tell(host, end.where, end.words, flows=end.flows)
        raise Ended(f"dropped {f'on {host} ' if host else ''}by {end.where}: {end.words}")

    def unseen(self, direction: Direction, packet: Packet, where: str) -> None:
        """Add what security groups say at an end where nobody sees them applied."""
        said = self._filter(direction, packet)
        words = _passes(direction, said) if said.rule else said.why
        self._tell_filter(direction, said, f"{words} (as Neutron has it, not as {where} has)", ())
        if not said.rule:
            raise Ended(self._refused(direction, said, where))

    def unfiltered(self) -> None:
        """Add the ends whose security groups nobody has asked, of a packet that has arrived."""
        for direction, (near, _) in self._nics.items():
            if direction not in self._met and near.port_security:
                self.tell(near.host, "security groups", "not applied: no flow asks for their rules")

    def _filter(self, direction: Direction, packet: Packet) -> Filter:
        self._met.add(direction)
        return filter_of(self._topology, direction, *self._nics[direction], packet)

    def _tell_filter(
        self, direction: Direction, said: Filter, what: str, flows: tuple[Key, ...]
    ) -> None:
        near, _ = self._nics[direction]
        hop = Hop(
            host=near.host,
            where=said.called,
            what=what,
            groups=said.groups,
            rule=said.rule.id if said.rule else "",
        )
        self.told.append(Told(hop=hop, flows=flows))

    def _refused(self, direction: Direction, said: Filter, where: str) -> str:
        host = self._nics[direction][0].host
        if said.rule:
            return f"dropped on {host} by {where}, although {said.called} has a rule: {said.why}"
        return f"dropped on {host} by {said.called}: {said.why}"


def _passes(direction: Direction, said: Filter) -> str:
    """Return what lets a packet pass, in words."""
    if said.rule:
        return f"lets it {_WHITHER[direction]}: {said.why}"
    return f"it passes, although there is {said.why}"
