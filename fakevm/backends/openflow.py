"""What Open vSwitch says of a packet's way through a host: texts of ovs-appctl(8) as values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Step:
    """A flow that a packet met, or the lack of one, and what was done by it."""

    bridge: str
    table: int
    # As ovs-ofctl(8) writes it; "": everything.
    match: str = ""
    # None: no flow matched.
    priority: int | None = None
    cookie: int = 0
    # The actions, and what Open vSwitch says of them after "->".
    actions: tuple[str, ...] = ()

    def says(self, words: str) -> bool:
        """Tell whether one of the actions, or what is said of it, begins with these words."""
        return any(action.removeprefix("-> ").startswith(words) for action in self.actions)


@dataclass(frozen=True, kw_only=True)
class Tunnel:
    """Where a tunnel's packet goes, and what it carries beside the VM's."""

    local: str
    remote: str
    # The VNI.
    key: int
    # Geneve's option: of OVN's, the ports' numbers.
    option: str = ""


@dataclass(frozen=True, kw_only=True)
class Output:
    """A port of the datapath that a packet leaves by."""

    # Its number there; None: not known, since the packet is not built before its next hop's MAC is.
    port: int | None
    vlan: int | None = None
    tunnel: Tunnel | None = None
    # What flows, which may be a router's, have changed of it before.
    source_mac: str | None = None
    target_mac: str | None = None
    ttl: int | None = None


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A packet's way through a host."""

    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    # An answer is made by who controls the switch.
    to_controller: bool = False

    @property
    def cut(self) -> Step | None:
        """The flow of `fakevm cut` that drops the packet, if one does."""
        return next((step for step in self.steps if step.cookie == _CUT), None)


_BRIDGE = re.compile(r'\s*bridge\("([^"]+)"\)')
_STEP = re.compile(
    r"\s*(?P<table>\d+)\. (?:(?P<match>.+), )?priority (?P<priority>\d+)"
    r"(?:, cookie (?P<cookie>0x[0-9a-f]+))?"
)
_NO_MATCH = re.compile(r"\s*(?P<table>\d+)\. No match")
# What host-outage gives the flows by which it cuts a link.
_CUT = 0xFA
_DATAPATH = "Datapath actions: "
_FORKED = "-> A clone of the packet is forked to recirculate"
_TUNNELS_TO = "-> tunneling to "
# The first packet is lost then, and the next ones go.
_UNKNOWN_MAC = "-> neighbor cache miss for "


class _Reader:
    """Reads a trace line by line: bridges that a packet is led through may be nested."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.outputs: list[Output] = []
        # How far each bridge's name is indented, it, and its last step, from the outermost on.
        self._bridges: list[tuple[int, str, int]] = []
        # Where each part of the way goes on that waits for the connection's state.
        self._forked: list[str] = []
        self._resumed = ""

    def read(self, line: str) -> None:
        """Read what comes next."""
        indent = len(line) - len(line.lstrip())
        if found := _BRIDGE.match(line):
            # Of what goes on, the first bridge of all is printed instead.
            self._leave(indent)
            self._bridges.append((indent, self._resumed or found[1], -1))
            self._resumed = ""
        elif line.startswith("recirc(") and self._forked:
            self._resumed = self._forked.pop(0)
        elif line.startswith(_DATAPATH):
            self.outputs += _outputs(line.removeprefix(_DATAPATH), Output(port=None))
        elif found := _STEP.match(line) or _NO_MATCH.match(line):
            told = found.groupdict()
            self._add(
                indent,
                table=int(told["table"]),
                match=told.get("match") or "",
                priority=int(told["priority"]) if "priority" in told else None,
                cookie=int(told.get("cookie") or "0", 16),
            )
        elif indent and line.strip(" -"):
            self._act(indent, line.strip())

    def _leave(self, indent: int) -> None:
        """Forget bridges that what comes next is not in."""
        while self._bridges and self._bridges[-1][0] >= indent:
            self._bridges.pop()

    def _add(
        self, indent: int, *, table: int, match: str, priority: int | None, cookie: int
    ) -> None:
        if indent < self._bridges[-1][0]:
            self._leave(indent + 1)
        start, bridge, _ = self._bridges[-1]
        self._bridges[-1] = (start, bridge, len(self.steps))
        self.steps.append(
            Step(bridge=bridge, table=table, match=match, priority=priority, cookie=cookie)
        )

    def _act(self, indent: int, said: str) -> None:
        if len(self._bridges) > 1 and indent <= self._bridges[-1][0]:
            self._bridges.pop()
        _, bridge, number = self._bridges[-1]
        if number < 0:
            return
        step = self.steps[number]
        self.steps[number] = replace(step, actions=(*step.actions, said))
        if said.startswith(_FORKED):
            self._forked.append(bridge)


def traced(text: str) -> Traced:
    """Return what `ofproto/trace` says."""
    reader = _Reader()
    for line in text.splitlines():
        reader.read(line)
    return Traced(
        steps=tuple(reader.steps),
        outputs=(*reader.outputs, *_waiting(reader.steps)),
        to_controller="controller(" in text,
    )


def _waiting(steps: list[Step]) -> Iterator[Output]:
    """Yield the tunnels whose other end's MAC Open vSwitch still asks for."""
    for step in steps:
        vni = 0
        remote = ""
        for action in step.actions:
            if found := re.fullmatch(
                r"(?:set_field|load):(0x[0-9a-f]+|\d+)->(?:tun_id|.*TUN_ID.*)", action
            ):
                vni = int(found[1], 0)
            elif action.startswith(_TUNNELS_TO):
                remote = action.removeprefix(_TUNNELS_TO).split()[0]
            elif action.startswith(_UNKNOWN_MAC) and remote:
                yield Output(port=None, tunnel=Tunnel(local="", remote=remote, key=vni))


def _outputs(actions: str, state: Output) -> Iterator[Output]:
    """Yield the ports that a packet leaves by, of what odp-execute is told."""
    # The kernel's, of the next output: it keeps it, and ports that are no tunnel's don't ask.
    keyed: Tunnel | None = None
    for action in split(actions):
        name, _, inside = action.partition("(")
        if action.isdigit() and keyed:
            yield replace(state, port=int(action), tunnel=keyed, vlan=None)
            keyed = None
        elif action.isdigit():
            yield replace(state, port=int(action))
        elif name == "clone":
            yield from _outputs(inside[:-1], state)
        elif name == "push_vlan":
            state = replace(state, vlan=int(field_of(inside, "vid") or "0", 0))
        elif action.startswith("set(eth("):
            state = replace(
                state,
                source_mac=field_of(inside, "src") or state.source_mac,
                target_mac=field_of(inside, "dst") or state.target_mac,
            )
        elif action.startswith(("set(ipv4(", "set(ipv6(")):
            ttl = field_of(inside, "ttl") or field_of(inside, "hlimit")
            state = replace(state, ttl=int(ttl) if ttl else state.ttl)
        elif action == "pop_vlan":
            state = replace(state, vlan=None)
        elif action.startswith("set(tunnel("):
            keyed = _tunnel(inside)
        elif name == "tnl_push":
            state = replace(state, tunnel=_tunnel(inside), vlan=None)


def _tunnel(text: str) -> Tunnel:
    # In userspace the headers, with MACs before the addresses; of the kernel its tunnel key.
    outer = text[text.find("ipv") :] if "header(" in text else text
    option = re.search(r"\{class=[^}]*,(0x[0-9a-f]+|0)\}", text)
    vni = field_of(text, "vni") or field_of(text, "tun_id") or "0"
    return Tunnel(
        local=field_of(outer, "src") or "",
        remote=field_of(outer, "dst") or "",
        key=int(vni, 0),
        option=option[1] if option else "",
    )


def field_of(text: str, name: str) -> str | None:
    """Return a field of what is written as name=value."""
    found = re.search(rf"\b{name}=([0-9a-fx.:]+)", text)
    return found[1] if found else None


def split(text: str) -> Iterator[str]:
    """Yield what commas part outside of brackets."""
    depth, start = 0, 0
    for place, letter in enumerate(text):
        if letter in "({":
            depth += 1
        elif letter in ")}":
            depth -= 1
        elif letter == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    if text[start:]:
        yield text[start:]


# A flow by its bridge, table, priority and match.
Key = tuple[str, int, int | None, str]


def key(step: Step) -> Key:
    """Return what a step's flow is known by."""
    return step.bridge, step.table, step.priority, step.match
