"""A lab's end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from fakevm.clients.at_once import each
from fakevm.clients.engine import Engine
from fakevm.errors import ConflictError
from fakevm.names import check_lab
from fakevm.protocol.lock import exclusive_lab


@dataclass(frozen=True, kw_only=True)
class DownReport:
    """What was removed of a lab."""

    lab: str
    containers: tuple[str, ...]
    networks: tuple[str, ...]
    volumes: tuple[str, ...]
    # What the engine holds on to although nothing is on it.
    kept_networks: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there was nothing."""
        return not (self.containers or self.networks or self.volumes)


def down(lab: str, *, engine: Engine) -> DownReport:
    """Remove all that carries a lab's label, however much of it there is."""
    check_lab(lab)
    with exclusive_lab(lab):
        everyones = engine.containers()
        containers = [container for container in everyones if container.lab == lab]
        if joined := sorted({c.lab for c in everyones if c.home == lab}):
            raise ConflictError(
                f"hosts of {', '.join(joined)} have joined the lab {lab!r}",
                hint=f"fakevm leave --name {joined[0]}",
            )
        networks = [network for network in engine.networks() if network.lab == lab]
        try:
            # What notices that its peers are gone often takes the engine seconds to remove.
            each(engine.pause, containers)
            each(partial(engine.disconnect, containers=containers), networks)
        finally:
            # Interrupted or not: to a later `up` they would look as if nothing was missing.
            each(engine.delete_container, containers)
        gone = each(engine.delete_network, networks)
        volumes = engine.volumes(lab)
        each(engine.delete_volume, volumes)
    return DownReport(
        lab=lab,
        containers=tuple(container.name for container in containers),
        networks=tuple(n.name for n, removed in zip(networks, gone, strict=True) if removed),
        volumes=tuple(volumes),
        kept_networks=tuple(
            n.name for n, removed in zip(networks, gone, strict=True) if not removed
        ),
    )
