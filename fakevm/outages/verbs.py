"""What breaks something of a lab on purpose, and mends it; each act is noted among the events."""

from __future__ import annotations

from collections.abc import Sequence

from fakevm.clients.engine import Engine
from fakevm.clients.parts import Parts
from fakevm.outages import links, power
from fakevm.outages.target import Target, find

# How long what is started may take to be well.
START_S = 120.0


class Outages:
    """Of one lab. What is named is a host, a service, or PROCESS@HOST."""

    def __init__(self, lab: Parts, *, engine: Engine) -> None:
        self._lab = lab
        self._engine = engine

    def find(self, ref: str) -> Target:
        """Return what is named; NotFoundError, ConfigError: there is no such."""
        return find(self._lab, ref)

    def stop(self, ref: str) -> None:
        """Stop a host, a service, or PROCESS@HOST; content if it is stopped."""
        power.stop(self.find(ref), engine=self._engine)
        self._breaking("stop", ref)

    def start(self, ref: str, *, timeout_s: float = START_S) -> None:
        """Start it again, and wait until it is well."""
        power.start(self.find(ref), engine=self._engine, timeout_s=timeout_s)
        self._breaking("stop", ref, "undone")

    def kill(self, ref: str) -> None:
        """Kill a host, a service, or PROCESS@HOST, which its supervisor starts again."""
        power.kill(self.find(ref), engine=self._engine)
        self._breaking("kill", ref)

    def cut(self, host: str, peer: str | None = None, *, network: str | None = None) -> str:
        """Drop all packets between a host and a peer, or all of a host; return of which network."""
        link = links.find(self._lab, host, peer, network)
        links.cut(link, engine=self._engine)
        self._breaking("cut", _link(host, peer, link.network))
        return link.network

    def mend(self, host: str, peer: str | None = None, *, network: str | None = None) -> str:
        """Let pass again what `cut` with the same words drops."""
        link = links.find(self._lab, host, peer, network)
        links.mend(link)
        self._breaking("cut", _link(host, peer, link.network), "undone")
        return link.network

    def slow(self, host: str, network: str, words: Sequence[str]) -> None:
        """Delay or lose what a host sends on a network, by tc-netem(8)'s words; none: no more."""
        links.slow(self._lab, host, network, words)
        self._breaking("slow", _link(host, None, network), "started" if words else "undone")

    def _breaking(self, name: str, what: str, status: str = "started") -> None:
        """Note among the events what is broken on purpose; containers may have another state."""
        self._lab.look_again()
        self._lab.events.record(f"{name} {what}", status, source="fakevm", instance_id="")


def _link(host: str, peer: str | None, network: str) -> str:
    return " ".join(filter(None, [host, peer, network]))
