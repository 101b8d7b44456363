"""What is in a lab, as it is to be and as it is: values of one form, so that they are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "network",
    "subnet",
    "security_group",
    "rule",
    "qos_policy",
    "qos_rule",
    "router",
    "interface",
    "routes",
    "port",
    "trunk",
    "sub_port",
    "floating_ip",
    "vm",
    "nic",
]

# What fakevm's file made has this tag of Neutron's.
TAG = "fakevm-file"

# Neutron takes no tag with most creations: what an end cut off before the tag is known by this.
DESCRIPTION = "made by a fakevm file"

# Kinds of Neutron's objects that may have a tag, and their collections.
TAGGED: Mapping[Kind, str] = {
    "network": "networks",
    "subnet": "subnets",
    "security_group": "security-groups",
    "qos_policy": "policies",
    "router": "routers",
    "port": "ports",
    "nic": "ports",
    "trunk": "trunks",
    "floating_ip": "floatingips",
}

# What is a part of something else: what the file no longer has of it goes without being asked for.
WHOLE: Mapping[Kind, Kind] = {
    "subnet": "network",
    "rule": "security_group",
    "qos_rule": "qos_policy",
    "interface": "router",
    "routes": "router",
    "sub_port": "trunk",
    "nic": "vm",
}


@dataclass(frozen=True, order=True)
class Ref:
    """Which thing: its kind, and its name, after that of what it is a part of."""

    kind: Kind
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')} {' '.join(filter(None, self.names))}"

    @property
    def whole(self) -> Ref | None:
        """What it is a part of."""
        kind = WHOLE.get(self.kind)
        return Ref(kind, self.names[:1]) if kind else None


def ref(kind: Kind, *names: str) -> Ref:
    """Return which thing is meant."""
    return Ref(kind, names)


@dataclass(frozen=True, kw_only=True)
class Thing:
    """A thing in a lab, as it is to be or as it is.

    Attributes have Neutron's names; another thing stands there as its Ref, and what may be as it
    likes does not. What is compared, but no attribute of Neutron's, begins with "_".
    """

    ref: Ref
    attributes: Mapping[str, Any] = field(default_factory=dict)
    # Needed only when it is made.
    made_with: Mapping[str, Any] = field(default_factory=dict)
    # Of one that is there.
    id: str = ""
    # Whether it is the file's: it has the tag, or is a part of what has it.
    ours: bool = False
    tagged: bool = False


def refs_in(value: Any) -> Iterator[Ref]:
    """Yield the things that a value names."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from refs_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from refs_in(one)
