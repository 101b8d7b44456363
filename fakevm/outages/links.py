"""Links between a host and others that are cut or slow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fakevm.clients.containers import Container
from fakevm.clients.engine import Engine
from fakevm.clients.parts import Parts
from fakevm.errors import ConfigError, for_each
from fakevm.outages.target import container_of, order
from fakevm.recipe.subnets import ROLES

MANAGEMENT, UNDERLAY, PROVIDER = ROLES


@dataclass(frozen=True, kw_only=True)
class Link:
    """Of a host on a network: to a peer, or all it has there."""

    host: Container
    peer: Container | None
    network: str


def find(lab: Parts, host: str, peer: str | None, network: str | None) -> Link:
    """Return the link that a user names; ConfigError, where there is none.

    Between two hosts it is the underlay's, if no network is named; of a host and a service, and of
    one host alone, the management network's.
    """
    one = _host(lab, host)
    other = container_of(lab, peer) if peer else None
    if other is not None and other.id == one.id:
        raise ConfigError(f"{host} has no link to itself")
    chosen = network or (UNDERLAY if other and other.is_host else MANAGEMENT)
    if other and chosen == PROVIDER:
        raise ConfigError(
            "what passes a provider network has VMs' addresses, not its host's",
            hint=f"fakevm cut {host} --network {PROVIDER}, of the host as a whole",
        )
    if other and chosen == UNDERLAY and not other.is_host:
        raise ConfigError(f"{peer} is no host, and not on the underlay")
    return Link(host=one, peer=other, network=chosen)


def cut(link: Link, *, engine: Engine) -> None:
    """Drop all packets between a host and a peer, or all of a host on a network."""
    if link.peer is None:
        order(link.host, "cut", link.network)
        return
    # All addresses first, so that a peer without one leaves no half of a cut.
    ends = [(end, other, engine.address(other, link.network)) for end, other in _ends(link)]
    for end, other, address in ends:
        # One end is enough, where the peer is paused.
        if end is link.host or end.running:
            order(end, "cut", link.network, address, other.service)


def mend(link: Link) -> None:
    """Let packets pass again that `cut` of this link drops; content if they do."""
    if link.peer is None:
        _mend(link.host, link.network)
    else:
        for_each(_ends(link), lambda ends: _mend(ends[0], link.network, ends[1].service))


def slow(lab: Parts, host: str, network: str, words: Sequence[str]) -> None:
    """Delay, lose, … what a host sends on a network, by tc-netem(8)'s words; none: no more.

    UnavailableError, where the kernel has no netem.
    """
    order(_host(lab, host), "slow" if words else "quick", network, *words)


def netem(
    *, delay_ms: float | None, jitter_ms: float | None, loss_percent: float | None
) -> list[str]:
    """Return the words of tc-netem(8)."""
    words = []
    if delay_ms is not None:
        words += ["delay", f"{delay_ms:g}ms", *([f"{jitter_ms:g}ms"] if jitter_ms else [])]
    elif jitter_ms:
        raise ConfigError("--jitter is of a --delay")
    if loss_percent is not None:
        words += ["loss", f"{loss_percent:g}%"]
    if not words:
        raise ConfigError("--delay or --loss is expected")
    return words


def _ends(link: Link) -> list[tuple[Container, Container]]:
    """Return each host at an end, with who is at the other."""
    assert link.peer is not None
    one, other = link.host, link.peer
    return [(one, other), (other, one)] if other.is_host else [(one, other)]


def _mend(end: Container, *words: str) -> None:
    # What a host drops ends with its container; one that is paused keeps it.
    if end.running or end.state == "paused":
        order(end, "mend", *words)


def _host(lab: Parts, name: str) -> Container:
    container = container_of(lab, name)
    if not container.is_host:
        raise ConfigError(f"{name} is no host: a link is cut at a host's end")
    return container
