"""What Open vSwitch has in a host, and what came by: texts of its programs as values."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fakevm.backends.openflow import Key, field_of, split


@dataclass(frozen=True, kw_only=True)
class Interface:
    """An interface of Open vSwitch's."""

    name: str
    bridge: str
    # Its number on the bridge, and in the datapath; None: it has none of its own there.
    ofport: int
    number: int | None
    # system, internal, patch, vxlan, geneve, …
    type: str
    # Of a tunnel.
    remote: str = ""


_PLACE = re.compile(
    r"\s+(?P<name>\S+) (?P<ofport>\d+)/(?P<number>\d+|none): \((?P<type>[a-z0-9_]+)(?P<more>.*)\)"
)


def interfaces(text: str) -> list[Interface]:
    """Return what `dpif/show` says."""
    found, bridge = [], ""
    for line in text.splitlines():
        if place := _PLACE.fullmatch(line):
            remote = field_of(place["more"], "remote_ip") or ""
            number = place["number"]
            found.append(
                Interface(
                    name=place["name"],
                    bridge=bridge,
                    ofport=int(place["ofport"]),
                    number=None if number == "none" else int(number),
                    type=place["type"],
                    remote=remote,
                )
            )
        elif line.startswith("  ") and line.endswith(":"):
            bridge = line.strip()[:-1]
    return found


def counters(bridge: str, text: str) -> dict[Key, int]:
    """Return the packets of each flow that `dump-flows` of ovs-ofctl(8) shows."""
    found: dict[Key, int] = {}
    for line in text.splitlines():
        head, _, _ = line.partition(" actions=")
        table = re.search(r"\btable=(\d+),", head)
        packets = re.search(r"\bn_packets=(\d+),", head)
        if not table or not packets:
            continue
        match = head.rpartition(" ")[2]
        priority = 32768
        parts = []
        for part in split(match):
            if part.startswith("priority="):
                priority = int(part.removeprefix("priority="))
            elif "_age=" not in part and "n_bytes=" not in part:
                parts.append(part)
        found[bridge, int(table[1]), priority, ",".join(parts)] = int(packets[1])
    return found
