"""A lab's parts, found by the labels of its containers: Neutron, the hosts, their agents."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from fakevm import backends, clients, lazy, names
from fakevm.clients.containers import KEYSTONE, Container, Recipe
from fakevm.clients.engine import Engine
from fakevm.clients.process import ExitError, connect, run
from fakevm.errors import (
    ConflictError,
    FakevmError,
    NotFoundError,
    UnavailableError,
    WaitTimeoutError,
)
from fakevm.model import Server
from fakevm.names import ADMIN, NEUTRON_PORT
from fakevm.neutron.api import Neutron
from fakevm.neutron.values import NeutronAgent, Port

if TYPE_CHECKING:
    from fakevm.backends.backend import Backend, Option

    # Not before Neutron was asked: `create_port` imports them in the background meanwhile.
    from fakevm.clients.agents import Agent
    from fakevm.clients.events import Events
    from fakevm.clients.rpc import Connection, Stream
    from fakevm.neutron.login import Login
    from fakevm.neutron.made import Made

T = TypeVar("T")

# The service that stands for Nova's API.
EVENTS = "nova-events"

# What a VIF's place is read from; the whole port takes Neutron longer.
PLACE = ("id", "name", "device_id", "device_owner", "binding:host_id")

# How long Neutron may take for one answer.
ANSWER_S = 30.0

# How long a service may take to show that it does its work, after an error.
CHECK_S = 10.0

# Wait until Open vSwitch has a VIF, and its table $2 what $3 says of it (ovs-vsctl(8), wait-until).
WIRED = """
named() { ovs-vsctl --bare --columns=name find Interface "external_ids:iface-id=$1"; }
until name=$(named "$1") && [ "$name" ]; do sleep 0.1; done
exec ovs-vsctl wait-until "$2" "$name" "$3"
"""

# How timeout(1) says that it had to end its program.
TIMED_OUT = 124

# How long an agent may take, which does its work on a busy machine.
AGENT_S = 60.0


class Parts:
    """A lab's containers and the connections to them. Use it in a `with` block, or close it."""

    def __init__(
        self,
        name: str = "fakevm",
        *,
        engine: Engine | None = None,
        neutron: Neutron | None = None,
        open_stream: Callable[[str], Stream] = connect,
        answer_s: float = ANSWER_S,
        agent_s: float = AGENT_S,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.name = names.check_lab(name)
        self._engine = engine or Engine()
        self._open_stream = open_stream
        self._answer_s = answer_s
        self._agent_s = agent_s
        self._given = neutron is not None
        if neutron is not None:
            self.neutron = neutron
        # Progress and warnings.
        self.say = say
        self._agents: dict[str, Agent] = {}
        self._opening = threading.Lock()
        self._hearing: list[Callable[[Made], None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if isinstance(error, UnavailableError | WaitTimeoutError):
            self._name_the_ill(error)
        self.close()

    def close(self) -> None:
        """Hang up on the hosts' agents and on nova-events."""
        if "events" in self.__dict__:
            self.events.close()
        # Another thread may just open one.
        for agent in list(self._agents.values()):
            agent.close()
        self._agents.clear()

    def aside(self, *, patience_s: float) -> Self:
        """Return the same lab, found anew, with connections of its own and so much patience.

        It says nothing, and what is done by it holds up nobody who uses this one.
        """
        other = copy.copy(self)
        for name in ("containers", "events", *self._found_by_containers):
            other.__dict__.pop(name, None)
        other._agents = {}
        other._opening = threading.Lock()
        other._answer_s = other._agent_s = patience_s
        other.say = lambda _text: None
        return other

    def _name_the_ill(self, error: FakevmError) -> None:
        """Add to an error the containers that may be its cause, and are not named yet."""
        with suppress(FakevmError):
            for container in self._engine.containers(lab=self.name):
                if container.service in str(error):
                    continue
                if not container.running:
                    error.add_note(f"{container.service} is {container.state}: {container.mend}")
                elif container.health == "unhealthy" or not self._does_its_work(container):
                    log = f"docker logs {container.name}"
                    error.add_note(f"{container.service} is unhealthy: {log}")

    def _does_its_work(self, container: Container) -> bool:
        service, argv = self.backend.check or ("", ())
        if container.service == service:
            try:
                run(("docker", "exec", container.name, *argv), timeout_s=CHECK_S)
            except FakevmError:
                return False
        return True

    @cached_property
    def containers(self) -> list[Container]:
        """The lab's containers, and those of a lab that it has joined; NotFoundError: none."""
        found = self._engine.containers(lab=self.name)
        for home in sorted({container.home for container in found} - {""}):
            found += self._engine.containers(lab=home)
        if not found:
            option = "" if self.name == "fakevm" else f" --name {self.name}"
            raise NotFoundError(f"there is no lab {self.name!r}", hint=f"fakevm up{option}")
        return found

    def look_again(self) -> None:
        """Find the containers anew, and what hangs on them where they have changed.

        Connections to agents that are still there stay.
        """
        before, now = self.__dict__.pop("containers", []), list[Container]()
        with suppress(FakevmError):
            now = self.containers
        if {(c.id, c.state) for c in before} != {(c.id, c.state) for c in now}:
            for name in self._found_by_containers:
                self.__dict__.pop(name, None)

    def _as_it_is(self, find: Callable[[], Container]) -> Container:
        """Return what is found, or why not of the containers as they are now."""
        known = "containers" in self.__dict__
        try:
            return find()
        except (NotFoundError, UnavailableError):
            if not known:
                raise
        self.look_again()
        return find()

    @property
    def _found_by_containers(self) -> tuple[str, ...]:
        """What is kept that hangs on the containers."""
        own = () if self._given else ("neutron",)
        return ("endpoint", "logins", "api_recipe", "backend", "options", *own)

    @property
    def home(self) -> str:
        """The lab whose Neutron it has: another one that it has joined, or itself."""
        return next((c.home for c in self.containers if c.home), self.name)

    @property
    def joined(self) -> str:
        """The URL of a Neutron that it has joined and that is none of a lab's; "": it has not."""
        return next((c.neutron for c in self.containers if c.neutron), "")

    @property
    def computes(self) -> list[Container]:
        """The compute hosts' containers."""
        return [container for container in self.containers if container.role == "compute"]

    def service(self, name: str) -> Container:
        """Return the container of one of the lab's services, which runs."""
        return self._as_it_is(lambda: self._service(name))

    def _service(self, name: str) -> Container:
        found = [container for container in self.containers if container.service == name]
        for container in found:
            if container.running:
                return container
        state = f"is {found[0].state}" if found else "is missing"
        raise UnavailableError(
            f"the lab's {name} {state}", hint=found[0].mend if found else "fakevm up"
        )

    def file(self, service: str, path: str) -> str:
        """Return a file of a service's container; NotFoundError if there is none."""
        return self._engine.file(self.service(service), path)

    @cached_property
    def endpoint(self) -> str:
        """The URL of Neutron's API."""
        if self.joined:
            return self.joined
        container = self.service("neutron-api")
        port = container.ports.get(NEUTRON_PORT)
        if port is None:
            raise UnavailableError(f"{container.name} publishes no API", hint="fakevm up")
        return f"http://127.0.0.1:{port}"

    @cached_property
    def neutron(self) -> Neutron:
        """The lab's Neutron."""
        # Imported while the containers are looked up.
        lazy.in_advance("fakevm.neutron.sender")
        return Neutron(
            self.endpoint,
            login=self.logins.get(ADMIN),
            timeout_s=self._answer_s,
            hearing=self._hearing,
        )

    @contextmanager
    def heard(self, tell: Callable[[Made], None]) -> Iterator[None]:
        """Have everything told that is made meanwhile in Neutron by this object, or its SDK."""
        self._hearing.append(tell)
        try:
            yield
        finally:
            self._hearing.remove(tell)

    @cached_property
    def logins(self) -> Mapping[str, Login]:
        """The users of the lab's Keystone, by name; none, where it has none."""
        if self.joined:
            return clients.keystone.elsewhere(self._engine.recipe(self.service(EVENTS)))
        if not any(container.auth == KEYSTONE for container in self.containers):
            return {}
        return clients.keystone.users(self._engine.recipe(self.service(KEYSTONE)))

    @cached_property
    def api_recipe(self) -> Recipe:
        """What the API's container was made from; it remembers what the lab was given."""
        there = (c for c in self.containers if c.service == "neutron-api")
        return self._engine.recipe(next(there, None) or self.service("neutron-api"))

    @property
    def neutron_version(self) -> str:
        """Neutron's release, which its image is tagged with; its agents', where it is elsewhere."""
        if self.joined:
            return self._engine.recipe(self.service(EVENTS)).image.rpartition(":")[2]
        return self.api_recipe.image.rpartition(":")[2]

    @cached_property
    def backend(self) -> Backend:
        """Who wires the ports: of which the API's container has a label."""
        return backends.known.labelled(container.backend for container in self.containers)

    @cached_property
    def options(self) -> dict[str, str]:
        """The backend's options that the lab was made with."""
        # A host that knows one may have ended, which is why its VMs are evacuated.
        there = {container.service: container for container in self.containers}
        return {option.name: self._option(option, there) for option in self.backend.options}

    def _option(self, option: Option, there: Mapping[str, Container]) -> str:
        default = option.values[0] if option.values else ""
        if option.service not in there:
            return default
        environment = self._engine.recipe(there[option.service]).environment
        return environment.get(option.environment, default)

    def l2_agents(self, host: str) -> list[NeutronAgent]:
        """Return a host's L2 agents, as Neutron has them."""
        other = next((c.l2_agent for c in self.containers if c.service == host), "")
        return self.backend.l2_agents(host, self.neutron.agents(), other)

    def is_wired(self, host: str, port_id: str, *, within_s: float) -> bool:
        """Wait until a port's VIF is wired on a host; tell whether it was in time."""
        container = self.running_compute(host).name
        asked = ("timeout", f"{within_s:g}", "sh", "-c", WIRED, "-", port_id, *self.backend.wired)
        try:
            run(("docker", "exec", container, *asked), timeout_s=within_s + CHECK_S)
        except ExitError as error:
            if error.status == TIMED_OUT:
                return False
            raise
        return True

    def agent(self, host: str) -> Agent:
        """Return a running host's agent, connected."""
        with self._opening:
            known = self._agents.get(host)
            if known is not None and known.lost:
                # The agent, or its host, ended; what is there now may be another.
                del self._agents[host]
                self.__dict__.pop("containers", None)
        container = self.running_compute(host)
        with self._opening:
            if host not in self._agents:
                self._agents[host] = clients.agents.Agent(
                    host,
                    self._open_stream(container.name),
                    timeout_s=self._agent_s,
                    # Says it if the host has stopped meanwhile, for which Docker has other words.
                    explain=lambda: Parts(self.name, engine=self._engine).running_compute(host),
                )
            return self._agents[host]

    def call(self) -> None:
        """Connect to nova-events, before it is asked; who then asks will say what is not there."""
        with suppress(FakevmError):
            self.events.open()

    @cached_property
    def events(self) -> Events:
        """What Neutron tells Nova."""

        def connect() -> Connection:
            return clients.rpc.Connection(
                EVENTS,
                self._open_stream(self.service(EVENTS).name),
                timeout_s=self._agent_s,
                explain=lambda: Parts(self.name, engine=self._engine).service(EVENTS),
            )

        # A Neutron that runs elsewhere tells its own Nova.
        return clients.events.Events(connect, look=self.is_wired if self.joined else None)

    def server(self, instance_id: str) -> Server:
        """Return what Nova has of a server beside its ports; nothing, where nobody answers."""
        try:
            return self.events.server(instance_id)
        except UnavailableError as error:
            self.say(str(error))
            return Server(instance_id=instance_id)

    def host(self, ref: str) -> str:
        """Return the name of the compute host that a user names by name or container id."""
        return names.find_host(ref, {c.service: c.id for c in self.computes})

    def check_host_of(self, port: Port) -> None:
        """Refuse a port on a host of a Neutron that runs elsewhere, which may be a hypervisor."""
        if self.joined and port.host and port.host not in {c.service for c in self.computes}:
            raise ConflictError(
                f"port {port.id} is on {port.host}, which is no host of the lab {self.name!r}",
                hint="fakevm list",
            )

    def running_compute(self, ref: str) -> Container:
        """Return the container of a compute host that runs."""
        return self._as_it_is(lambda: self._running_compute(ref))

    def _running_compute(self, ref: str) -> Container:
        # Found once: who captures looks again meanwhile, and a host may be gone then.
        computes = {container.service: container for container in self.computes}
        name = names.find_host(ref, {name: found.id for name, found in computes.items()})
        container = computes[name]
        if not container.running:
            raise UnavailableError(f"{name} is {container.state}", hint=container.mend)
        return container

    def ask_hosts(self, ask: Callable[[Agent], T]) -> dict[str, T | FakevmError]:
        """Ask every compute host at once; who does not answer has his error in his place."""

        def answer(host: str) -> T | FakevmError:
            try:
                return ask(self.agent(host))
            except FakevmError as error:
                return error

        hosts = [container.service for container in self.computes]
        return dict(zip(hosts, clients.at_once.each(answer, hosts), strict=True))
