"""What is broken in a lab for as long as a `with` block lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import fakevm.lab
from fakevm import outages


class Breaking(fakevm.lab.Lab):
    """A lab of which something is broken on purpose, and mended at a block's end."""

    @contextmanager
    def cut(
        self, host: str, peer: str | None = None, *, network: str | None = None
    ) -> Iterator[None]:
        """Drop all packets between a host and a peer, or all of a host, as `fakevm cut` does."""
        network = outages.links.find(self, host, peer, network).network
        with outages.undo.at_the_end(lambda: self.outages.mend(host, peer, network=network)):
            self.outages.cut(host, peer, network=network)
            yield

    @contextmanager
    def stopped(self, ref: str) -> Iterator[None]:
        """Stop a host, a service or PROCESS@HOST; at the end it is started, and waited for."""
        self.outages.find(ref)
        with outages.undo.at_the_end(lambda: self.outages.start(ref)):
            self.outages.stop(ref)
            yield

    @contextmanager
    def killed(self, ref: str) -> Iterator[None]:
        """Kill a host, a service or PROCESS@HOST; at the end it is started, and waited for."""
        self.outages.kill(ref)
        with outages.undo.at_the_end(lambda: self.outages.start(ref)):
            yield

    @contextmanager
    def slow(
        self,
        host: str,
        *,
        network: str = "underlay",
        delay_ms: float | None = None,
        jitter_ms: float | None = None,
        loss_percent: float | None = None,
    ) -> Iterator[None]:
        """Delay or lose what a host sends; UnavailableError, where the kernel has no netem."""
        words = outages.links.netem(
            delay_ms=delay_ms, jitter_ms=jitter_ms, loss_percent=loss_percent
        )
        with outages.undo.at_the_end(lambda: self.outages.slow(host, network, ())):
            self.outages.slow(host, network, words)
            yield
