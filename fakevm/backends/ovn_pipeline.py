"""What OVN's flows mean: the logical ones, of ovn-trace(8), and those of its hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fakevm.backends.openflow import Traced, key
from fakevm.backends.packet import SOURCE_PORT, Packet
from fakevm.backends.pipeline import Direction, Logical, Passage, Pipeline, Sense, cut_by

# As many as a way can have: who is asked less takes the connection for an established one.
_NEW = ("--ct=new",) * 16

_NOT_ITS_OWN = "port security: its MAC or its address is none that the port may send from"


@dataclass(frozen=True, kw_only=True)
class LogicalStep:
    """A logical flow that a packet met, or the lack of one (ovn-sb(5), Logical_Flow)."""

    # A switch or a router, and the ports that the packet came by, and is to leave by.
    datapath: str
    inport: str
    outport: str
    # As ls_in_acl_eval.
    stage: str
    match: str = ""
    # None: no flow matched.
    priority: int | None = None
    uuid: str = ""
    actions: tuple[str, ...] = ()

    @property
    def is_acl(self) -> bool:
        """Whether it decides by security groups, and does not only prepare that."""
        return "_acl" in self.stage and "hint" not in self.stage and "pre" not in self.stage


_SECTION = re.compile(
    r'(?:ingress|egress)\(dp="(?P<dp>[^"]*)", inport="(?P<inport>[^"]*)"'
    r'(?:, outport="(?P<outport>[^"]*)")?'
)
_STEP = re.compile(
    r"\s*\d+\. (?P<stage>\w+)(?: \([^)]*\))?: (?P<match>.+), priority (?P<priority>\d+),"
    r" uuid (?P<uuid>[0-9a-f]+)"
)
_NO_MATCH = re.compile(r"\s*\d+\. (?P<stage>\w+)(?: \([^)]*\))?: no match")
_ARRIVED = re.compile(r'/\* output to "(?P<port>[^"]*)"')


def logical_steps(text: str) -> Iterator[LogicalStep]:
    """Yield what `ovn-trace` says, a flow each."""
    datapath = inport = outport = ""
    step: LogicalStep | None = None
    for line in text.splitlines():
        if section := _SECTION.match(line.strip()):
            datapath, inport, outport = section["dp"], section["inport"], section["outport"] or ""
            continue
        if not (found := _STEP.match(line) or _NO_MATCH.match(line)):
            if step and line.startswith(" ") and line.strip():
                step = replace(step, actions=(*step.actions, line.strip()))
            continue
        if step:
            yield step
        told = found.groupdict()
        step = LogicalStep(
            datapath=datapath,
            inport=inport,
            outport=outport,
            stage=told["stage"],
            match=told.get("match") or "",
            priority=int(told["priority"]) if told.get("priority") else None,
            uuid=told.get("uuid") or "",
        )
    if step:
        yield step


class OvnTrace(Logical):
    """Of OVN's southbound database, by ovn-trace."""

    service = "ovn-central"

    def argv(self, packet: Packet, *, port_id: str, network_id: str) -> Sequence[str]:
        """Return what is asked: where a packet goes that comes from a port."""
        flow = microflow(packet, port_id)
        return ("ovn-trace", "--no-friendly-names", *_NEW, f"neutron-{network_id}", flow)

    def passage(
        self, text: str, *, source: str, target: str, routers: Mapping[str, str]
    ) -> Passage:
        """Return what is answered."""
        steps = list(logical_steps(text))
        if target in _ARRIVED.findall(text):
            return Passage(senses=tuple(_senses(steps, source, target, routers)))
        if not steps:
            return Passage(end=Sense(where="OVN", words="it does not know the port"))
        senses = _senses(steps[:-1], source, target, routers)
        end = _end(steps[-1], source, target, routers)
        # What it fails at it has not passed.
        passed = [one for one in senses if one.rules is None or one.rules != end.rules]
        return Passage(senses=tuple(passed), end=end)


OVN_TRACE = OvnTrace()


def microflow(packet: Packet, port_id: str) -> str:
    """Return a packet of a port in the words of ovn-trace(8)."""
    ip = f"ip{packet.version}"
    if packet.protocol == "icmp":
        echo = 128 if packet.version == 6 else 8
        kind = [f"icmp{packet.version}.type == {echo}", f"icmp{packet.version}.code == 0"]
    else:
        kind = [
            f"{packet.protocol}.src == {SOURCE_PORT}",
            f"{packet.protocol}.dst == {packet.port}",
        ]
    return " && ".join(
        [
            f'inport == "{port_id}"',
            f"eth.src == {packet.source_mac}",
            f"eth.dst == {packet.target_mac}",
            f"{ip}.src == {packet.source}",
            f"{ip}.dst == {packet.target}",
            f"ip.ttl == {packet.ttl}",
            *kind,
        ]
    )


def _direction(step: LogicalStep, source: str, target: str) -> Direction | None:
    """Return which end's security groups decide in a step; None: none do."""
    if not step.is_acl:
        return None
    if step.stage.startswith("ls_in"):
        return "egress" if step.inport == source else None
    return "ingress" if step.outport == target else None


def _senses(
    steps: Sequence[LogicalStep], source: str, target: str, routers: Mapping[str, str]
) -> Iterator[Sense]:
    met: set[Direction] = set()
    for step in steps:
        rules = _direction(step, source, target)
        if rules and rules not in met:
            met.add(rules)
            yield Sense(where=step.stage, words="", rules=rules)
        elif step.stage == "lr_in_ip_routing" and step.priority is not None:
            found = re.search(r"ip[46]\.dst == (\S+?)\)*$", step.match)
            yield Sense(
                where=_datapath(step, routers),
                words=f"its route to {found[1] if found else step.match}",
            )


def _datapath(step: LogicalStep, routers: Mapping[str, str]) -> str:
    """Return what a logical router is called, or the stage of a switch."""
    if step.stage.startswith("lr_"):
        return routers.get(step.inport.removeprefix("lrp-"), f"router {step.datapath}")
    return f"OVN, {step.stage}"


def _end(step: LogicalStep, source: str, target: str, routers: Mapping[str, str]) -> Sense:
    """Return what drops a packet that does not arrive."""
    where = _datapath(step, routers)
    if rules := _direction(step, source, target):
        return Sense(where=where, words="", rules=rules)
    if step.stage.startswith("ls_in") and "port_sec" in step.stage:
        return Sense(where=where, words=_NOT_ITS_OWN)
    if step.stage == "lr_in_ip_routing":
        return Sense(where=where, words="it has no route to it")
    by = f"{step.match}, uuid {step.uuid}" if step.uuid else "no flow that matches"
    return Sense(where=where, words=f"it ends there, by {by}")


class OvnPipeline(Pipeline):
    """Of ovn-controller's br-int: a flow's cookie is the beginning of a logical one's UUID."""

    routers_are_namespaces = False

    def passage(self, traced: Traced) -> Passage:
        """Return what a packet's way through a host means."""
        met = tuple(key(step) for step in traced.steps)
        if not traced.steps:
            return Passage()
        if traced.outputs or traced.to_controller:
            first = traced.steps[0].bridge
            words = f"passes {len(met)} flows of ovn-controller's"
            return Passage(senses=(Sense(where=first, words=words, flows=met),))
        if traced.cut:
            return Passage(end=cut_by(traced.cut))
        last = traced.steps[-1]
        where = f"{last.bridge}, table {last.table}"
        of = f", of the logical flow {last.cookie:08x}" if last.cookie else ""
        words = f"dropped by {last.match or 'everything'}{of}"
        return Passage(end=Sense(where=where, words=words, flows=met))


PIPELINE = OvnPipeline()
