"""Compute hosts for the Neutron of another lab: joined to it, and taken from it again."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from fakevm.clients.containers import Container, Network
from fakevm.clients.engine import Engine
from fakevm.clients.parts import Parts
from fakevm.errors import ConfigError, ConflictError, NotFoundError
from fakevm.labs.down import DownReport, down
from fakevm.labs.up import places, vm_ports
from fakevm.names import HOME_LABEL, NEUTRON_PORT, check_host, check_lab, project
from fakevm.protocol.lock import exclusive_lab
from fakevm.recipe import compose, share
from fakevm.recipe.compose import Compose
from fakevm.recipe.decide import existing_of, wanted_of
from fakevm.recipe.settings import Settings, Wishes
from fakevm.recipe.subnets import ROLES

# Of this machine, where a lab's API is published.
LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True, kw_only=True)
class JoinReport:
    """Compute hosts that a Neutron has now."""

    lab: str
    # The lab whose Neutron that is; "": no lab's.
    home: str
    endpoint: str
    hosts: tuple[str, ...]
    seconds: float


def join(
    lab: str,
    *,
    api: str,
    hosts: Sequence[str],
    engine: Engine,
    say: Callable[[str], None],
    timeout_s: float,
) -> JoinReport:
    """Start compute hosts of these names for the Neutron at a URL of this machine's.

    It is another lab's: its networks, its release and its options are theirs, too. Nothing of it
    is changed.
    """
    start = time.monotonic()
    check_names(hosts)
    with exclusive_lab(check_lab(lab)):
        compose.check_version()
        containers, networks = engine.containers(), engine.networks()
        check_free(lab, containers)
        home = home_of(api, containers)
        wanted = _wanted(home, containers, networks, engine)
        if taken := {c.service for c in containers if home in (c.lab, c.home)} & set(hosts):
            raise ConflictError(
                f"the Neutron of the lab {home!r} has a host {', '.join(sorted(taken))} already",
                hint="fakevm join --host ANOTHER",
            )
        say(f"joining {', '.join(hosts)} to the lab {home!r}")
        document = partial(document_of, home=home, hosts=hosts, networks=networks)
        made = Compose(replace(wanted, lab=lab), share.files(), make=document)
        made.up(timeout_s=timeout_s, on_wait=lambda: None)
    with Parts(home, engine=engine) as there:
        return JoinReport(
            lab=lab,
            home=home,
            endpoint=there.endpoint,
            hosts=tuple(hosts),
            seconds=round(time.monotonic() - start, 1),
        )


def check_names(hosts: Sequence[str]) -> None:
    """See that hosts may be called so."""
    if len({check_host(name) for name in hosts}) < len(hosts):
        raise ConfigError("each host needs a name of its own")


def check_free(lab: str, containers: Collection[Container]) -> None:
    """See that there is no such lab yet."""
    if any(container.lab == lab for container in containers):
        raise ConflictError(f"there is a lab {lab!r}", hint="fakevm join --name ANOTHER")


def home_of(api: str, containers: Collection[Container]) -> str:
    """Return the lab whose Neutron listens at a URL of this machine's; NotFoundError: none does."""
    url = urlsplit(api)
    try:
        place = url.hostname, url.port
    except ValueError as error:
        raise ConfigError(f"{api!r} is no URL: {error}") from error
    if place[0] in LOOPBACK and place[1]:
        for container in containers:
            if container.ports.get(NEUTRON_PORT) == place[1]:
                return container.lab
    raise NotFoundError(
        f"no lab's Neutron is published at {api}", hint="fakevm --lab NAME clouds-yaml"
    )


def document_of(
    default: Mapping[str, Any],
    wanted: Settings,
    *,
    home: str,
    hosts: Sequence[str],
    networks: Collection[Network],
) -> dict[str, Any]:
    """Return the document of hosts that are made as another lab's first one, on its networks."""
    first = default["services"]["compute-1"]
    label = {"labels": {HOME_LABEL: home}}
    of_home = {n.role: n.name for n in networks if n.lab == home}
    return {
        "name": project(wanted.lab),
        "services": {host: {**first, "hostname": host, **label} for host in hosts},
        "networks": {role: {"name": of_home[role], "external": True} for role in ROLES},
        "volumes": {"python": {"name": f"{project(home)}_python", "external": True}},
    }


def leave(lab: str, *, engine: Engine) -> DownReport:
    """Take a lab's hosts from the Neutron that they joined, and remove them.

    ConflictError, where they have VMs.
    """
    containers = engine.containers(lab=check_lab(lab))
    hosts = {container.service for container in containers}
    if not any(container.joined for container in containers):
        raise ConflictError(f"no lab {lab!r} has joined a Neutron", hint="fakevm status")
    with Parts(lab, engine=engine) as there:
        if ports := vm_ports(there, hosts):
            raise ConflictError(
                f"{lab} can't leave with VMs on its hosts: {places(ports)}",
                hint=f"fakevm --lab {lab} migrate HOST {ports[0].id}, or fakevm delete-port",
            )
        report = down(lab, engine=engine)
        for agent in there.neutron.agents():
            if agent.host in hosts:
                there.neutron.delete_agent(agent.id)
    return report


def _wanted(
    home: str, containers: Collection[Container], networks: Collection[Network], engine: Engine
) -> Settings:
    """Return what the other lab is."""
    own = [container for container in containers if container.lab == home]
    existing = existing_of(home, Wishes(), own, networks, engine=engine)
    return wanted_of(home, Wishes(), existing, networks)
