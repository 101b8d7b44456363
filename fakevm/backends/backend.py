"""A backend: who wires the ports of a lab, and what else follows from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from fakevm.neutron.values import NeutronAgent

if TYPE_CHECKING:
    from fakevm.backends.pipeline import Logical, Pipeline


@dataclass(frozen=True, kw_only=True)
class Handed:
    """Something that Compose hands to containers, and where it is found again in one of them."""

    # Compose's variable.
    variable: str
    service: str
    # That container's variable.
    environment: str


@dataclass(frozen=True, kw_only=True)
class Option(Handed):
    """A setting of a lab."""

    name: str
    # The first one is the default; empty: anything, by default what the images have.
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class HostState:
    """What a backend says of a host, in words for `fakevm status`; "" where it knows nothing."""

    l2_agent: str = ""
    datapath: str = ""
    # What only this backend's hosts have.
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program of a backend's own that users call, and the service that has it."""

    name: str
    service: str


@dataclass(frozen=True, kw_only=True)
class PortFact:
    """What a backend says of a port, from this time on (seconds since the epoch); "": no more."""

    time: float
    port_id: str
    name: str
    value: str


class TrailReader(ABC):
    """Reads what a backend says of some ports while they move."""

    @abstractmethod
    def read(self, line: str) -> Iterable[PortFact]:
        """Return what a line says anew of the ports."""


@dataclass(frozen=True, kw_only=True)
class Trail:
    """What says of ports where they are, as it changes: a command that runs until stdin ends."""

    service: str
    argv: tuple[str, ...]
    # By the ids of the ports.
    reader: Callable[[Collection[str]], TrailReader]


class Backend(ABC):
    """What differs between backends. Of its services' processes, `images/` and `compose/` tell."""

    # As `fakevm.backend`, a label of the API's container, has it.
    name: str
    # As people say it.
    title: str
    # The lab's Compose file, below the folder of the lab's files.
    document: str
    # Roles of containers in the order of their start: if several are ill, the first is the cause.
    start_order: tuple[str, ...]
    passwords: tuple[Handed, ...]
    options: tuple[Option, ...]
    # The agents, by their `binary` in Neutron's list, each of which wires the ports of its host.
    l2_agent_binaries: tuple[str, ...]
    # The option that names another L2 agent for the compute hosts; None: they have its own.
    l2_agent_option: Option | None = None
    # What Open vSwitch has of a VIF once it is wired: table, condition (ovs-vsctl(8), wait-until).
    wired: tuple[str, str]
    # Memory that is needed when nothing goes on yet: without compute hosts, and by each of them.
    lab_mb: int
    host_mb: int
    # How long after a binding was deactivated its host may still cut the VIF off, for which it has
    # been told; 0: it does not.
    cuts_off_within_s: float = 0.0
    # Whether DHCP agents serve the VMs; who else does, does it in each host.
    dhcp_agents: bool
    # By the word that follows the backend's name on the command line.
    programs: Mapping[str, Program] = MappingProxyType({})
    # What `status` asks one of the services, by a command in its container: service, argv.
    question: tuple[str, tuple[str, ...]] | None = None
    # What fails where a service does not do its work, sooner than Docker's health check: service,
    # argv.
    check: tuple[str, tuple[str, ...]] | None = None
    trail: Trail | None = None
    # The services beside the hosts that consist of several processes: each line of their log begins
    # with the name of one.
    supervised: tuple[str, ...] = ()
    # What a bug report asks its services, by commands in their containers: service, argv.
    inspected: tuple[tuple[str, tuple[str, ...]], ...] = ()
    # What says of which versions a host's own programs are.
    versions: tuple[tuple[str, ...], ...] = (("ovs-vswitchd", "--version"),)

    @property
    @abstractmethod
    def pipeline(self) -> Pipeline:
        """What its hosts' flows mean."""

    @property
    def logical(self) -> Logical | None:
        """Who tells of a packet's way without the hosts, if anybody does."""
        return None

    @abstractmethod
    def described(self, network_types: Collection[str], options: Mapping[str, str]) -> str:
        """Return what wires a VM's ports, as in "ML2/OVS, vxlan, l2population"."""

    @abstractmethod
    def host_state(
        self, host: str, agents: Iterable[NeutronAgent], answer: str, other: str = ""
    ) -> HostState:
        """Return what Neutron's list of agents and the answer to the question say of a host.

        The answer is "" where there is none; `other`: the L2 agent that the host has instead.
        """

    def filters(self, options: Mapping[str, str]) -> bool:
        """Tell whether security groups are applied in a lab with these options."""
        return True

    def has_stateless(self, options: Mapping[str, str]) -> bool:
        """Tell whether a group can be stateless, so that answers need rules of their own."""
        return True

    def other_l2_agent(self, options: Mapping[str, str]) -> str:
        """Return the command of the L2 agent that hosts have instead of its own, if any."""
        return options.get(self.l2_agent_option.name, "") if self.l2_agent_option else ""

    def l2_agents(
        self, host: str, agents: Iterable[NeutronAgent], other: str = ""
    ) -> list[NeutronAgent]:
        """Return a host's L2 agents of Neutron's list; `other`: the binary that it has instead."""
        binaries = (other,) if other else self.l2_agent_binaries
        return [agent for agent in agents if agent.host == host and agent.binary in binaries]
