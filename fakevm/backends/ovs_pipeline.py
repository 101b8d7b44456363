"""What the flows of Neutron's Open vSwitch agent mean.

Their tables are in neutron_lib/plugins/ml2/ovs_constants.py; who fills them, in
neutron/plugins/ml2/drivers/openvswitch/agent/openflow/native/ and, of the firewall,
neutron/agent/linux/openvswitch_firewall/firewall.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from fakevm.backends.openflow import Key, Step, Traced, key
from fakevm.backends.pipeline import Direction, Passage, Pipeline, Sense, cut_by

_INTEGRATION, _TUNNEL = "br-int", "br-tun"

# Of br-int.
_ARP_SPOOFING, _MAC_SPOOFING = 24, 25
_BASE_EGRESS, _DROPPED = 71, 93
_RULES: dict[int, Direction] = {72: "egress", 82: "ingress"}

# Of br-tun.
_TO_LOCAL_VLAN = (3, 4, 6)
_UNICAST, _ARP_RESPONDER, _FLOOD = 20, 21, 22

# Of br-tun's table of MACs: by priority, who has written an entry.
_BY_WHOM = {
    2: "its MAC has an entry of l2population",
    1: "its MAC has an entry that was learned",
}

_NOT_ITS_OWN = "port security: its MAC or its address is none that the port may send from"


class OvsPipeline(Pipeline):
    """Of br-int, br-tun, and the bridges of NICs."""

    routers_are_namespaces = True

    def passage(self, traced: Traced) -> Passage:
        """Return what a packet's way through a host means."""
        steps = traced.steps
        if traced.outputs or traced.to_controller or not steps:
            return Passage(senses=tuple(_senses(steps)))
        if traced.cut:
            return Passage(senses=tuple(_senses(steps)), end=cut_by(traced.cut))
        last = len(steps) - 1
        while last and steps[last].table == _DROPPED:
            # Who sent it there.
            last -= 1
        end = replace(_end(steps[last]), flows=tuple(map(key, steps[: last + 1])))
        return Passage(senses=tuple(_senses(steps[:last])), end=end)


PIPELINE = OvsPipeline()


def _senses(steps: Sequence[Step]) -> Iterator[Sense]:
    met: list[Key] = []
    for step in steps:
        met.append(key(step))
        if sense := _sense(step):
            yield replace(sense, flows=tuple(met))
            met = []


def _sense(step: Step) -> Sense | None:
    """Return what a step means that leads on; of most there is nothing to tell."""
    where = f"{step.bridge}, table {step.table}"
    if step.bridge == _INTEGRATION:
        return _filtered(step, where)
    if step.bridge == _TUNNEL:
        words = _tunnelled(step)
        return Sense(where=where, words=words) if words else None
    if vlan := _vlan(step):
        return Sense(where=where, words=f"VLAN {vlan} of the physical network")
    return None


def _filtered(step: Step, where: str) -> Sense | None:
    if step.table in _RULES and step.priority:
        return Sense(where=where, words="", rules=_RULES[step.table])
    if step.says("forwarding to learned port"):
        return Sense(where=where, words="to the port that its MAC was learned at")
    if step.says("no learned MAC"):
        return Sense(where=where, words="flooded: nothing came from its MAC yet")
    if vlan := _vlan(step):
        return Sense(where=where, words=f"it is of the local VLAN {vlan}")
    return None


def _tunnelled(step: Step) -> str:
    if step.table in _TO_LOCAL_VLAN and step.priority:
        return f"the VNI {_number('tun_id', step.match)} is the local VLAN {_vlan(step)}"
    if step.table == _UNICAST:
        if step.priority in _BY_WHOM:
            return _BY_WHOM[step.priority]
        return "its MAC has no entry"
    if step.table == _ARP_RESPONDER and step.priority:
        return "the ARP responder answers, by l2population"
    if step.table == _FLOOD and step.priority:
        return "flooded into the tunnels of its network"
    return ""


def _end(last: Step) -> Sense:
    """Return what the flow means that drops a packet."""
    where = f"{last.bridge}, table {last.table}"
    if last.bridge == _INTEGRATION:
        if last.table in _RULES:
            return Sense(where=where, words="", rules=_RULES[last.table])
        if last.table in (_BASE_EGRESS, _ARP_SPOOFING, _MAC_SPOOFING):
            return Sense(where=where, words=_NOT_ITS_OWN)
    if last.bridge == _TUNNEL:
        if last.table == _UNICAST and last.priority in _BY_WHOM:
            return Sense(where=where, words=f"{_BY_WHOM[last.priority]}, whose tunnel is gone")
        if last.table == _FLOOD:
            return Sense(where=where, words="its network has no tunnel to any host")
        if last.table in _TO_LOCAL_VLAN:
            return Sense(where=where, words="no port of its network is wired on this host")
    return Sense(where=where, words=f"dropped by {dropping(last)}")


def dropping(step: Step) -> str:
    """Return a flow in words, or that there is none."""
    if step.priority is None:
        return "no flow that matches"
    return f"priority {step.priority}, {step.match or 'everything'}"


def _vlan(step: Step) -> int:
    """Return the VLAN that a step gives a packet; 0: none."""
    for action in step.actions:
        if found := re.fullmatch(r"set_field:(\d+)->vlan_vid|mod_vlan_vid:(\d+)", action):
            # OpenFlow's own bit says that there is a VLAN.
            return int(found[1] or found[2]) & 0xFFF
    return 0


def _number(name: str, match: str) -> int:
    found = re.search(rf"\b{name}=(0x[0-9a-f]+|\d+)", match)
    return int(found[1], 0) if found else 0
