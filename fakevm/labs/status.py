"""A lab at a glance, as Docker, Neutron and its hosts' own agents see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache

from fakevm import clients
from fakevm.backends.backend import HostState
from fakevm.clients.containers import Container
from fakevm.clients.parts import Parts
from fakevm.errors import FakevmError
from fakevm.model import HostInfo
from fakevm.recipe.images import is_stale
from fakevm.recipe.settings import AUTH, CONFIG, DRIVERS, NEUTRON_SRC, NOTHING, Existing

# How long the backend's own service may take for its answer.
ANSWER_S = 10.0


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """A network or compute host, as Docker, Neutron and its own agent see it."""

    host: str
    role: str
    state: str
    l2_agent: str
    datapath: str
    vms: int | None
    vifs: int | None
    # What only the lab's backend has, and Neutron's release where the lab has several.
    details: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """One of the control plane's services."""

    service: str
    state: str


@dataclass(frozen=True, kw_only=True)
class Status:
    """A lab at a glance."""

    lab: str
    endpoint: str
    neutron: str
    services: tuple[ServiceStatus, ...]
    hosts: tuple[HostStatus, ...]
    # What it runs: Neutron's release, and by the options of `up` what the user gave it.
    runs: Mapping[str, str] = field(default_factory=dict)


def _once(container: Container, argv: Sequence[str]) -> str:
    """Run a command in a container; return what it says."""
    return clients.process.run(("docker", "exec", container.name, *argv), timeout_s=ANSWER_S)


def of(lab: Parts, *, ask: Callable[[Container, Sequence[str]], str] = _once) -> Status:
    """Return the lab at a glance; what does not answer is shown as such.

    `ask` runs a command in a container and returns what it says.
    """
    infos = lab.ask_hosts(lambda agent: agent.info())
    outages = _outages(lab, infos, ask)
    endpoint, neutron_agents, words = "", [], "answers"
    try:
        endpoint = lab.endpoint
        neutron_agents = lab.neutron.agents()
    except FakevmError as error:
        words = str(error)
    answer = _asked(lab, ask)
    hosts = [c for c in lab.containers if c.is_host]
    mixed = len({c.release for c in hosts}) > 1
    return Status(
        lab=lab.name,
        endpoint=endpoint,
        neutron=words,
        services=tuple(
            ServiceStatus(service=c.service, state=c.health or c.state)
            for c in lab.containers
            if c not in hosts
        ),
        hosts=tuple(
            _host_status(
                c,
                lab.backend.host_state(c.service, neutron_agents, answer, c.l2_agent),
                infos.get(c.service),
                details={
                    **({"neutron": c.release} if mixed else {}),
                    **({"broken_on_purpose": outages[c.service]} if c.service in outages else {}),
                },
            )
            for c in hosts
        ),
        runs=_runs(lab),
    )


def _outages(
    lab: Parts,
    infos: Mapping[str, HostInfo | FakevmError],
    ask: Callable[[Container, Sequence[str]], str],
) -> dict[str, str]:
    """Return what is broken in hosts on purpose, in words; empty where nothing is."""

    def of_host(container: Container) -> str:
        info = infos.get(container.service)
        if isinstance(info, HostInfo):
            return ", ".join(info.outages)
        # It has no agent that answers.
        with suppress(FakevmError):
            return ", ".join(ask(container, ("host-outage", "list")).splitlines())
        return ""

    hosts = [c for c in lab.containers if c.is_host and c.running]
    found = dict(zip((c.service for c in hosts), clients.at_once.each(of_host, hosts), strict=True))
    # All hosts have the column, if one needs it.
    return found if any(found.values()) else {}


def _runs(lab: Parts) -> dict[str, str]:
    """Return what the lab runs, or has run; nothing where its API's container is gone."""
    with suppress(FakevmError):
        found = Existing(recipes={"neutron-api": lab.api_recipe})
        given = {
            "neutron": found.neutron_version,
            "neutron-src": found.handed(NEUTRON_SRC).replace(str(NOTHING), ""),
            "package": ", ".join(found.packages),
            "config": found.handed(CONFIG).replace(str(NOTHING), ""),
            **{option.name: found.handed(option) for option in DRIVERS},
            AUTH.name: found.handed(AUTH).replace(AUTH.values[0], ""),
            **{
                option.name: value
                for option in lab.backend.options
                if (value := lab.options[option.name]) not in option.values[:1]
            },
        }
        return {name: value for name, value in given.items() if value}
    return {}


def _asked(lab: Parts, ask: Callable[[Container, Sequence[str]], str]) -> str:
    """Ask what the lab's backend asks; "" where nobody answers."""
    if lab.backend.question is None:
        return ""
    service, argv = lab.backend.question
    with suppress(FakevmError):
        return ask(lab.service(service), argv)
    return ""


@cache
def _is_of_another(source: str) -> bool:
    """Tell whether a host is of another fakevm: of this one's sources, as they were at first."""
    return is_stale("host", source)


def _host_status(
    container: Container,
    seen: HostState,
    info: HostInfo | FakevmError | None,
    *,
    details: Mapping[str, str],
) -> HostStatus:
    known = info if isinstance(info, HostInfo) else None
    error = str(info) if isinstance(info, FakevmError) else ""
    if _is_of_another(container.source):
        error = error or "of another fakevm than this one (fakevm up)"
    return HostStatus(
        host=container.service,
        role=container.role,
        state=(container.health or container.state) if container.running else container.state,
        l2_agent=seen.l2_agent,
        datapath=seen.datapath or (known.datapath if known else ""),
        vms=known.vms if known else None,
        vifs=known.vifs if known else None,
        details={**details, **seen.details},
        error=error,
    )
