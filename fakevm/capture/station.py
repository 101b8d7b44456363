"""Where packets come from: the points of a host, by one relay in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fakevm.capture import relay
from fakevm.capture.frames import Frames
from fakevm.capture.packets import Reader
from fakevm.capture.points import Point
from fakevm.clients.process import inside
from fakevm.clients.rpc import Stream

# The host's own Python, without what Neutron or a package of the user's adds to it.
_PYTHON = ("/usr/bin/python3", "-ISc")

OpenRelay = Callable[[str, Sequence[Sequence[str]]], Stream]


@dataclass(kw_only=True)
class Feed:
    """A point's tcpdump."""

    number: int
    point: Point
    reader: Reader
    said: str = ""
    listening: bool = False
    ended: bool = False
    # Ended with its relay, as when the host stops, and not by itself.
    cut_off: bool = False
    # The sink knows it.
    added: bool = False
    packets: int = 0


@dataclass(kw_only=True, eq=False)
class Station:
    """A relay and its points, in the order of its programs."""

    stream: Stream
    feeds: list[Feed]
    frames: Frames = field(default_factory=Frames)
    ended: bool = False


def relayed(container: str, commands: Sequence[Sequence[str]]) -> Stream:
    """Start a relay in a container."""
    program = Path(relay.__file__).read_text(encoding="utf-8")
    return inside(container, (*_PYTHON, program, json.dumps(commands)))
