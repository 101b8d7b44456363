"""Compute hosts for a Neutron that runs elsewhere on this machine, in no lab: devstack's, a user's.

Nothing of it is changed but what its agents report. It tells its events to a Nova of its own.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from fakevm import backends
from fakevm.backends.backend import Backend
from fakevm.backends.ovs import L2POPULATION
from fakevm.clients.containers import BACKEND_LABEL, NEUTRON_LABEL
from fakevm.clients.engine import Engine
from fakevm.clients.parts import EVENTS
from fakevm.errors import ConfigError, ConflictError, WaitTimeoutError
from fakevm.labs.join import JoinReport, check_free, check_names
from fakevm.labs.start import Start
from fakevm.names import LAB_LABEL
from fakevm.neutron.answers import UnauthorizedError
from fakevm.neutron.api import Neutron
from fakevm.neutron.login import Login
from fakevm.neutron.values import NeutronAgent
from fakevm.protocol.lock import exclusive_lab
from fakevm.recipe import compose, images, share
from fakevm.recipe.compose import Compose
from fakevm.recipe.decide import wanted_of
from fakevm.recipe.settings import Existing, Settings, Wishes

# How long Neutron may take to have the hosts in its list of agents, once they are well.
LISTED_S = 30.0

_WHICH = "--transport-url URL for ML2/OVS, or --ovn-sb tcp:ADDRESS:6642 for ML2/OVN"


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """A Neutron, and how its agents reach it: by a message bus or OVN's southbound database."""

    api: str
    transport_url: str = ""
    # As OVN has it: tcp:ADDRESS:PORT.
    ovn_sb: str = ""
    # Who asks it, where Keystone says who that is.
    login: Login | None = None

    @property
    def backend(self) -> Backend:
        """Who wires its ports; ConfigError, where that is not told."""
        if bool(self.transport_url) == bool(self.ovn_sb):
            raise ConfigError("a Neutron has a message bus, or a southbound database", hint=_WHICH)
        return backends.known.get("ovs" if self.transport_url else "ovn")

    def addresses(self) -> dict[str, str]:
        """Return the addresses that hosts have to reach, by the names that they are given by.

        ConfigError, where hosts can't reach one.
        """
        names = [_host("--api", self.api, "http")]
        if self.login:
            names.append(_host("the cloud's auth_url", self.login.auth_url, "http"))
        if self.transport_url:
            names.append(_host("--transport-url", self.transport_url, "rabbit"))
        if self.ovn_sb:
            scheme, _, place = self.ovn_sb.partition(":")
            names.append(_host("--ovn-sb", f"{scheme}://{place}", "tcp"))
        return {name: _address(name) for name in names}

    def told(self) -> dict[str, str]:
        """Return what a container is told of it in its environment."""
        if self.login is None:
            return {"FAKEVM_API": self.api, "FAKEVM_KEYSTONE_LOGIN": ""}
        return {
            "FAKEVM_API": self.api,
            "FAKEVM_KEYSTONE_URL": self.login.auth_url,
            "FAKEVM_KEYSTONE_LOGIN": self.login.request(),
        }


def join(
    lab: str,
    there: Elsewhere,
    *,
    hosts: Sequence[str],
    wishes: Wishes,
    engine: Engine,
    say: Callable[[str], None],
    timeout_s: float,
) -> JoinReport:
    """Start compute hosts of these names for a Neutron, and wait until it lists their agents."""
    start = time.monotonic()
    check_names(hosts)
    addresses = there.addresses()
    with exclusive_lab(lab):
        compose.check_version()
        check_free(lab, engine.containers())
        neutron = Neutron(there.api, login=there.login)
        agents = agents_of(neutron)
        check(there, agents, hosts)
        wishes = replace(
            wishes, backend=there.backend.name, options={**_options(agents), **wishes.options}
        )
        wanted = wanted_of(lab, wishes, Existing(), engine.networks())
        images.ensure(
            Compose(wanted, share.files()),
            engine=engine,
            release=wanted.neutron_version,
            build=wishes.build,
            hosts_alone=True,
            say=say,
        )
        say(f"joining {', '.join(hosts)} to the Neutron at {there.api}")
        docker_compose = Compose(
            wanted,
            share.files(),
            make=partial(document_of, there=there, hosts=hosts, addresses=addresses),
            # What another container publishes is reached from such a network alone.
            variables={"FAKEVM_MASQUERADE": "true"},
        )
        Start(
            lab,
            engine=engine,
            say=say,
            start_order=(EVENTS, "compute"),
            mend=f"fakevm leave --name {lab}",
        ).bring_up(docker_compose, timeout_s=timeout_s)
        _wait_until_listed(neutron, there, hosts, mend=f"fakevm leave --name {lab}")
    return JoinReport(
        lab=lab,
        home="",
        endpoint=there.api,
        hosts=tuple(hosts),
        seconds=round(time.monotonic() - start, 1),
    )


def agents_of(neutron: Neutron) -> list[NeutronAgent]:
    """Return the agents that a Neutron has; ConfigError, where it wants to know who asks."""
    try:
        return neutron.agents()
    except UnauthorizedError as error:
        raise ConfigError(
            f"the Neutron at {neutron.endpoint} wants to know who asks",
            hint="--os-cloud NAME, an entry of your clouds.yaml",
        ) from error


def check(there: Elsewhere, agents: Collection[NeutronAgent], hosts: Collection[str]) -> None:
    """See that a Neutron with these agents can have hosts of these names."""
    ours = there.backend
    others = {
        binary
        for backend in backends.known.BACKENDS
        for binary in backend.l2_agent_binaries
        if backend is not ours
    }
    if found := sorted({agent.binary for agent in agents} & others):
        raise ConflictError(
            f"the Neutron at {there.api} has {', '.join(found)}, and is not of {ours.title}",
            hint=_WHICH,
        )
    if taken := sorted({agent.host for agent in agents} & set(hosts)):
        raise ConflictError(
            f"the Neutron at {there.api} has a host {', '.join(taken)} already",
            hint="fakevm join --host ANOTHER",
        )


def document_of(
    default: Mapping[str, Any],
    wanted: Settings,
    *,
    there: Elsewhere,
    hosts: Sequence[str],
    addresses: Mapping[str, str],
) -> dict[str, Any]:
    """Return the document of hosts as a lab's first one, with networks and a Nova of their own."""
    first = default["services"]["compute-1"]
    networks, common = default["include"][:2]
    told = there.told()
    # A name that this machine knows, a container need not.
    named = {name: address for name, address in addresses.items() if name != address}
    of_host = {
        **told,
        **({"OS_DEFAULT__TRANSPORT_URL": there.transport_url} if there.transport_url else {}),
        **({"FAKEVM_OVN_SB": there.ovn_sb} if there.ovn_sb else {}),
        # Where agents of that Neutron may be whose tunnels end at this machine itself.
        "FAKEVM_PEERS": " ".join(sorted(set(addresses.values()))),
        "FAKEVM_UNDERLAY_GATEWAY": gateway(wanted.subnets["underlay"]),
    }
    services: dict[str, dict[str, Any]] = {
        EVENTS: {
            "extends": {"file": common, "service": EVENTS},
            "environment": _literal(told),
            "labels": {NEUTRON_LABEL: there.api, BACKEND_LABEL: wanted.backend.name},
        },
        **{host: {**first, "hostname": host, "environment": _literal(of_host)} for host in hosts},
    }
    return {
        "name": default["name"],
        "include": [networks],
        "services": {name: {**one, "extra_hosts": named} for name, one in services.items()},
        "volumes": {"python": {"labels": {LAB_LABEL: wanted.lab}}},
    }


def gateway(subnet: str) -> str:
    """Return the address that the engine's bridge has on a network: its first."""
    return str(next(ipaddress.IPv4Network(subnet).hosts()))


def _literal(environment: Mapping[str, str]) -> dict[str, str]:
    """Return values that Compose takes as they are: it replaces variables in a document."""
    return {name: value.replace("$", "$$") for name, value in environment.items()}


def _options(agents: Collection[NeutronAgent]) -> dict[str, str]:
    """Return the options that new hosts have as those which are there."""
    found = {agent.l2population for agent in agents} - {None}
    return {L2POPULATION.name: "true" if found == {True} else "false"} if found else {}


def _wait_until_listed(
    neutron: Neutron, there: Elsewhere, hosts: Collection[str], *, mend: str
) -> None:
    """Wait until Neutron lists an agent of each host: it may be another's bus or database."""
    deadline = time.monotonic() + LISTED_S
    while missing := set(hosts) - {agent.host for agent in neutron.agents()}:
        if time.monotonic() > deadline:
            raise WaitTimeoutError(
                f"the Neutron at {there.api} has no agent of {', '.join(sorted(missing))}: is"
                f" {'that its message bus' if there.transport_url else 'that its database'}?",
                hint=mend,
            )
        time.sleep(0.5)


def _host(what: str, url: str, scheme: str) -> str:
    """Return the name or address of a URL's host; ConfigError, where that is no such URL."""
    try:
        parts = urlsplit(url)
        # Nonsense there is found only if it is asked for.
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"{what}: {url!r} is no URL: {error}") from error
    if parts.scheme != scheme or not parts.hostname:
        raise ConfigError(f"{what}: a URL of {scheme} is expected, not {_without_password(url)!r}")
    return parts.hostname


def _without_password(url: str) -> str:
    return re.sub(r"//[^@/]*@", "//…@", url)


def _address(name: str) -> str:
    """Return the IPv4 address of a name; ConfigError, where it is none that a host can reach."""
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror or error}") from error
    if ipaddress.IPv4Address(found).is_loopback:
        raise ConfigError(
            f"{name} is each host itself, where no Neutron is",
            hint="give an address of this machine at which Neutron listens, too",
        )
    return str(found)
