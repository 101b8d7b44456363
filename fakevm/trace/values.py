"""A packet's way, as values."""

from __future__ import annotations

from dataclasses import dataclass

from fakevm.backends.openflow import Key


@dataclass(frozen=True, kw_only=True)
class Hop:
    """What happens to a packet at one place."""

    # "": the logical network, which is on no host.
    host: str
    # As "br-tun, table 20".
    where: str
    what: str
    # The security groups that decide there, and the rule that lets it pass, by id.
    groups: tuple[str, ...] = ()
    rule: str = ""
    # Packets that came by while some were sent; None: that was not counted.
    packets: int | None = None


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What became of packets that were sent."""

    packets: int
    answers: int
    # What was said, if no packet could be sent.
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A packet's way, and how it ends."""

    lab: str
    source: str
    target: str
    # As "tcp/80 10.0.0.5 → 10.0.0.6"; "" where none could be sent.
    packet: str
    hops: tuple[Hop, ...]
    arrives: bool
    # In words.
    verdict: str
    sent: Sent | None = None
    seconds: float = 0


class Ended(Exception):  # noqa: N818 - a packet's end is a result.
    """A packet goes no further; says why, as in "dropped on compute-2 by …"."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """A hop, and the flows that show that packets came by."""

    hop: Hop
    flows: tuple[Key, ...] = ()
