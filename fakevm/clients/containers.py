"""What the engine has, as values: containers, what they are made from, networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fakevm.names import HOME_LABEL, LAB_LABEL, ROLE_LABEL, SERVICE_LABEL, published

# The service that says who a caller is, in a lab that has it; and the value of AUTH_LABEL there.
KEYSTONE = "keystone"

BACKEND_LABEL = "fakevm.backend"
# Who says who a caller of Neutron's is.
AUTH_LABEL = "fakevm.auth"
# The command of another L2 agent than the backend's.
L2_AGENT_LABEL = "fakevm.l2-agent"
# Of a lab whose Neutron runs elsewhere on this machine: the URL of its API, at nova-events.
NEUTRON_LABEL = "fakevm.neutron"
# An image's, which its containers have, too.
SOURCE_LABEL = "fakevm.source"
PROJECT_LABEL = "com.docker.compose.project"


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container of a lab, or of a Compose project."""

    id: str
    name: str
    lab: str
    role: str
    service: str
    # Docker's words: created, restarting, running, removing, paused, exited, dead.
    state: str
    # healthy, unhealthy, starting; "" without a health check, or while it does not run.
    health: str
    # Ports of the container that are published on the Docker host, while it runs.
    ports: Mapping[int, int] = field(default_factory=dict)
    # The API's: which backend the lab has.
    backend: str = ""
    # The API's, too: noauth or keystone; "" of before there was Keystone.
    auth: str = ""
    # A compute host's that has joined another lab: which one.
    home: str = ""
    # Where the Neutron is that its lab has joined, if that is none of a lab's.
    neutron: str = ""
    # What its image was made from; "": nobody can tell.
    source: str = ""
    # A compute host's: the program that it has instead of the backend's L2 agent, by whose name
    # this is in Neutron's list.
    l2_agent: str = ""

    @property
    def joined(self) -> str:
        """What its lab has joined: another lab, or the URL of a Neutron; "": nothing."""
        return self.home or self.neutron

    @property
    def release(self) -> str:
        """The release of Neutron that its image has; "": nobody can tell."""
        return self.source.rpartition("-")[0]

    @property
    def running(self) -> bool:
        """Whether processes can be started in it."""
        return self.state == "running"

    @property
    def mend(self) -> str:
        """The command that makes it run again."""
        return f"docker {'unpause' if self.state == 'paused' else 'start'} {self.name}"

    @property
    def is_well(self) -> bool:
        """Whether it runs, and no health check says otherwise."""
        return self.running and self.health in ("healthy", "")

    @property
    def is_host(self) -> bool:
        """Whether it is a network or a compute host."""
        return self.role in ("network", "compute")

    @property
    def has_neutron(self) -> bool:
        """Whether Neutron's own processes run in it."""
        return self.is_host or self.role.startswith("neutron-")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a container was made from, which stays when its image gets another name."""

    image: str
    environment: Mapping[str, str]
    # Ports of the container and where they are published, also while it does not run.
    ports: Mapping[int, int]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of the engine's, of any owner."""

    id: str
    name: str
    lab: str
    # Compose's project, and its name for the network there.
    project: str
    role: str
    subnets: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class About:
    """An engine, as it describes itself."""

    # unix:///var/run/docker.sock, ssh://…, tcp://….
    endpoint: str
    version: str
    api: str
    # The folder of its images and volumes, on its machine.
    root: str
    # As uname(1) has its release.
    kernel: str
    # 1 or 2, and whether they count memory and processes.
    cgroups: str
    has_memory: bool
    has_pids: bool
    # Whether its containers' root is another user outside of them.
    has_other_root: bool


def container_of(found: Mapping[str, Any]) -> Container:
    """Return a container of what the engine's API lists."""
    labels = found["Labels"] or {}
    # The others are those that links give it.
    (name,) = (name.removeprefix("/") for name in found["Names"] if name.count("/") == 1)
    return Container(
        id=found["Id"],
        name=name,
        lab=labels.get(LAB_LABEL, ""),
        role=labels.get(ROLE_LABEL, ""),
        service=labels.get(SERVICE_LABEL, ""),
        state=found["State"],
        health=_health(found["Status"]),
        ports=published(found["Ports"]),
        backend=labels.get(BACKEND_LABEL, ""),
        source=labels.get(SOURCE_LABEL, ""),
        auth=labels.get(AUTH_LABEL, ""),
        home=labels.get(HOME_LABEL, ""),
        neutron=labels.get(NEUTRON_LABEL, ""),
        l2_agent=labels.get(L2_AGENT_LABEL, "").partition(" ")[0].rpartition("/")[2],
    )


def _health(status: str) -> str:
    """Return the health out of Docker's sentence, as "Up 3 minutes (healthy)"."""
    for mark, health in (
        ("(healthy)", "healthy"),
        ("(unhealthy)", "unhealthy"),
        ("(health: starting)", "starting"),
    ):
        if status.endswith(mark):
            return health
    return ""


def network_of(found: Mapping[str, Any]) -> Network:
    """Return a network of what the engine's API answers."""
    labels = found["Labels"] or {}
    return Network(
        id=found["Id"],
        name=found["Name"],
        lab=labels.get(LAB_LABEL, ""),
        project=labels.get(PROJECT_LABEL, ""),
        role=labels.get("com.docker.compose.network", ""),
        subnets=tuple(c["Subnet"] for c in (found["IPAM"]["Config"] or ()) if c.get("Subnet")),
    )
