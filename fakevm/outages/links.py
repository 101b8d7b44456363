"""Links between a host and others that are cut or slow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fakevm.clients.containers import Container
from fakevm.clients.engine import Engine
from fakevm.clients.parts import Parts
from fakevm.errors import ConfigError
from fakevm.labs.subnets import ROLES
from fakevm.outages.target import container_of, order

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
    _order(link, "cut", engine=engine)


def mend(link: Link, *, engine: Engine) -> None:
    """Let packets pass again that `cut` of this link drops; content if they do."""
    _order(link, "mend", engine=engine)


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


def _order(link: Link, act: str, *, engine: Engine) -> None:
    one, other, network = link.host, link.peer, link.network
    if other is None:
        order(one, act, network)
        return
    order(one, act, network, engine.address(other, network), other.service)
    if other.is_host and other.running:
        order(other, act, network, engine.address(one, network), one.service)


def _host(lab: Parts, name: str) -> Container:
    container = container_of(lab, name)
    if not container.is_host:
        raise ConfigError(f"{name} is no host: a link is cut at a host's end")
    return container
