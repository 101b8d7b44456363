"""A lab's beginning, and every change of it."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from fakevm.clients.engine import Container, Engine
from fakevm.clients.parts import Parts
from fakevm.clients.process import run
from fakevm.errors import (
    ConflictError,
    FakevmError,
    UnavailableError,
    WaitTimeoutError,
)
from fakevm.labs import (
    compose,
    config,
    decide,
    images,
    overlay,
    restart,
    share,
    status,
)
from fakevm.labs.compose import Compose
from fakevm.labs.settings import Existing, Settings, Wishes
from fakevm.names import check_lab, container_name, project
from fakevm.neutron.values import Port
from fakevm.protocol.lock import exclusive_lab

# A lab on two slow cores takes a quarter of it; images take longer, and are not counted.
TIMEOUT_S = 300.0

# How long a service may take that is not well to be so again: three of its health checks.
RECOVERY_S = 65.0

# An L2 agent that the user brought, and a service, is given up after so many ends; one a second, if
# it does not come further than its start.
ENDS = 5
ENDS_LOOKED_AT_S = 3.0


@dataclass(frozen=True, kw_only=True)
class UpReport:
    """A lab that is up."""

    lab: str
    endpoint: str
    # In seconds.
    phases: dict[str, float]
    # Removed because fewer compute hosts were asked for.
    removed_hosts: tuple[str, ...]
    status: status.Status


class Up:
    """One run of `fakevm up`. Whatever it finds of the lab it leaves, completes or changes."""

    def __init__(
        self, lab: str, wishes: Wishes, *, engine: Engine, say: Callable[[str], None]
    ) -> None:
        self._lab = check_lab(lab)
        self._wishes = wishes
        self._engine = engine
        self._say = say
        self._phases: dict[str, float] = {}
        self._seen: dict[str, str] = {}
        # How often a container was seen between two starts, by its id.
        self._restarts: Counter[str] = Counter()
        self._looping: Container | None = None
        self._start_order: Sequence[str] = ()
        self._start = time.monotonic()
        self._brings_agent = False
        self._looked = 0.0
        self._ended: FakevmError | None = None

    def run(self, *, timeout_s: float) -> UpReport:
        """Bring the lab up, or to what is wished now, and wait until it is healthy."""
        with exclusive_lab(self._lab):
            with self._phase("check"):
                wanted, existing = self._checked()
            docker_compose = Compose(wanted, share.files())
            self._brings_agent = bool(wanted.backend.other_l2_agent(wanted.options))
            self._start_order = wanted.backend.start_order
            with self._phase("images"):
                for release in wanted.releases:
                    images.ensure(
                        Compose(replace(wanted, neutron_version=release), share.files()),
                        engine=self._engine,
                        release=release,
                        build=self._wishes.build,
                        hosts_alone=release != wanted.neutron_version,
                        say=self._say,
                    )
            with self._phase("overlay"):
                overlaid = overlay.lay(wanted, existing, engine=self._engine, say=self._say)
            if not overlaid:
                with self._phase("configuration"):
                    config.check(wanted, say=self._say)
            surplus = [host for host in existing.hosts if host not in wanted.hosts]
            with self._phase("start"):
                self._sweep(existing)
                self._let_recover(existing)
                self._bring_up(docker_compose, timeout_s)
            with self._phase("agree"), Parts(self._lab, engine=self._engine, say=self._say) as lab:
                if overlaid and (old := overlay.older(lab)):
                    restart.restart(lab, old, only=None, engine=self._engine, timeout_s=timeout_s)
                self._forget(lab, surplus)
                self._tell_lost(lab, existing)
                found = self._settled(lab)
            return UpReport(
                lab=self._lab,
                endpoint=found.endpoint,
                phases=self._phases,
                removed_hosts=tuple(surplus),
                status=found,
            )

    def _checked(self) -> tuple[Settings, Existing]:
        """Look at everything that could go wrong before anything is changed."""
        everything = self._engine.containers(project=project(self._lab))
        compose.check_version()
        networks = self._engine.networks()
        compose.check_ownership(self._lab, everything, networks)
        if home := next(filter(None, (c.home for c in everything)), ""):
            raise ConflictError(
                f"the lab {self._lab!r} has joined {home!r}, and has no Neutron of its own",
                hint=f"fakevm up --name ANOTHER, or fakevm leave --name {self._lab}",
            )
        existing = decide.existing_of(
            self._lab, self._wishes, everything, networks, engine=self._engine
        )
        wanted = decide.wanted_of(self._lab, self._wishes, existing, networks)
        published = {port for c in existing.containers for port in c.ports.values()}
        if wanted.api_port not in published:
            _check_port(wanted.api_port, "Neutron's API", "api-port")
        if wanted.has_keystone and wanted.keystone_port not in published:
            _check_port(wanted.keystone_port, "Keystone", "keystone-port")
        self._refuse_to_lose_vms(wanted, existing)
        return wanted, existing

    def _refuse_to_lose_vms(self, wanted: Settings, existing: Existing) -> None:
        computes = (c for c in existing.containers if c.role == "compute")
        # One that never ran has no VMs.
        hosts = {c.service for c in computes if c.state != "created"}
        surplus = hosts - set(wanted.hosts)
        if surplus and (ports := self._ports_on(surplus)):
            raise ConflictError(
                f"{', '.join(sorted(surplus))} can't be removed, with VMs on it: {places(ports)}",
                hint=f"fakevm migrate {wanted.hosts[0]} {ports[0].id}, or fakevm delete-port",
            )
        changed = existing.has_keystone not in (None, wanted.has_keystone)
        if changed and hosts and (ports := self._ports_on(hosts)):
            raise ConflictError(
                f"no VM outlives another --auth, for which its host is made anew: {places(ports)}",
                hint="fakevm delete-port VIF…, or fakevm up --name ANOTHER",
            )

    def _ports_on(self, hosts: Collection[str]) -> list[Port]:
        """Return the ports of the VMs on these hosts, which only a lab that is up can tell."""
        with Parts(self._lab, engine=self._engine) as lab:
            if not any(c.role == "neutron-api" and c.running for c in lab.containers):
                raise ConflictError(
                    f"whether {', '.join(sorted(hosts))} has VMs only a lab that is up can tell",
                    hint="fakevm up, and then again with --computes or --auth",
                )
            return vm_ports(lab, hosts)

    def _sweep(self, existing: Existing) -> None:
        """Remove what Compose leaves when it is ended while it makes a container.

        Made anew, it has a name for the time being, which is in the way. Never started, it may be
        on the first of its networks alone: Compose joins it to the others afterwards, and would
        start it without them.
        """
        for container in existing.containers:
            named = container.name == container_name(self._lab, container.service)
            if not named or container.state == "created":
                self._engine.delete_container(container)

    def _let_recover(self, existing: Existing) -> None:
        """Wait for what runs and is not well: Compose gives up as soon as it sees one of these.

        A check that failed while its service was busy is not made again for some seconds.
        """
        running = {c.id for c in existing.containers if c.running and c.health == "unhealthy"}
        deadline = time.monotonic() + RECOVERY_S
        while running and time.monotonic() < deadline:
            containers = self._engine.containers(lab=self._lab)
            if not any(c.id in running and c.health == "unhealthy" for c in containers):
                return
            self._tell_changes()
            time.sleep(1)

    def _bring_up(self, docker_compose: Compose, timeout_s: float) -> None:
        self._start = time.monotonic()
        self._changes()
        for container in self._brought_agents():
            self._in_agent_s_service(container, "s6-svdt-clear")
        try:
            docker_compose.up(timeout_s=timeout_s, on_wait=self._look)
        except FakevmError as error:
            if error is self._ended:
                raise
            late = time.monotonic() - self._start >= timeout_s
            words = f"docker compose: {str(error).splitlines()[-1]}"
            explained = self._explained(words, late_s=timeout_s if late else None)
            raise explained or error from error
        self._tell_changes()

    def _look(self) -> None:
        """Tell what has changed; give up where something ends again and again."""
        self._tell_changes()
        if self._looping:
            words = f"{self._looping.service} ends again and again"
            self._ended = self._explained(words, first=self._looping)
            if self._ended:
                raise self._ended
        now = time.monotonic()
        if now - self._looked >= ENDS_LOOKED_AT_S:
            self._looked = now
            self._see_ends()

    def _see_ends(self) -> None:
        """Give up where an L2 agent that the user brought ends again and again."""
        for container in self._brought_agents():
            ends = self._in_agent_s_service(container, "s6-svdt").splitlines()
            if container.health == "starting" and len(ends) >= ENDS:
                self._ended = restart.ended(container, "l2-agent", engine=self._engine)
                raise self._ended

    def _brought_agents(self) -> list[Container]:
        """Return the hosts that run and have an L2 agent of the user's, not well by now."""
        if not self._brings_agent:
            return []
        containers = self._engine.containers(lab=self._lab)
        return [c for c in containers if c.running and c.l2_agent and c.health != "healthy"]

    def _in_agent_s_service(self, container: Container, program: str) -> str:
        """Run one of s6's programs there; "" where it has not begun yet, or is on its way out."""
        argv = ("docker", "exec", container.name, program, "/run/services/l2-agent")
        with suppress(FakevmError):
            return run(argv, timeout_s=RECOVERY_S)
        return ""

    def _tell_changes(self) -> None:
        seconds = time.monotonic() - self._start
        for service, state in self._changes():
            if state in ("healthy", "unhealthy", "exited", "dead", "restarting"):
                self._say(f"{service}: {state} ({seconds:.1f} s)")

    def _changes(self) -> list[tuple[str, str]]:
        """Return the services whose containers have another state than at the last look."""
        found = []
        for container in self._engine.containers(lab=self._lab):
            state = container.health or container.state
            if self._seen.get(container.id) != state:
                self._seen[container.id] = state
                self._restarts[container.id] += state == "restarting"
                if self._restarts[container.id] >= ENDS:
                    self._looping = container
                found.append((container.service, state))
        return found

    def _explained(
        self, why: str, *, first: Container | None = None, late_s: float | None = None
    ) -> FakevmError | None:
        """Return an error with what the containers say that are not well; None: all of them are.

        first: the cause, where it is known. late_s: the time that they had is over.
        """
        containers = self._engine.containers(lab=self._lab)
        ill = [c for c in containers if not c.is_well]
        if not ill:
            return None
        states = ", ".join(f"{c.service} is {c.health or c.state}" for c in ill)
        kind = UnavailableError if late_s is None else WaitTimeoutError
        when = "yet" if late_s is None else f"within {late_s:g} s"
        # The first in the order of starting is the cause; later ones only wait for it.
        order = {role: number for number, role in enumerate(self._start_order)}
        first = first or min(ill, key=lambda c: order.get(c.role, len(order)))
        words = self._engine.logs(first, lines=restart.LOG_LINES).rstrip()
        return kind(
            f"the lab is not up {when}: {states}\n{why}"
            + (f"\nThe last words of {first.service}:\n{words}" if words else ""),
            hint=f"docker logs {first.name}; fakevm up, again; or fakevm down",
        )

    def _settled(self, lab: Parts) -> status.Status:
        """Wait until the agents of hosts that are well have found a control plane that is new.

        One that had just asked the old one waits for its answer, a minute at most.
        """
        deadline = time.monotonic() + RECOVERY_S
        while True:
            found = status.of(lab)
            away = [h for h in found.hosts if h.state == "healthy" and h.l2_agent == "down"]
            if not away or time.monotonic() > deadline:
                return found
            time.sleep(1)

    def _forget(self, lab: Parts, hosts: Iterable[str]) -> None:
        """Delete the rows of agents whose hosts were removed."""
        gone = set(hosts)
        if not gone:
            return
        for agent in lab.neutron.agents():
            if agent.host in gone:
                lab.neutron.delete_agent(agent.id)

    def _tell_lost(self, lab: Parts, existing: Existing) -> None:
        """Tell of ports on hosts that were made anew, as they are for another image."""
        before = {container.id for container in existing.containers}
        new = {c.service for c in lab.containers if c.role == "compute" and c.id not in before}
        for port in vm_ports(lab, new) if before and new else ():
            self._say(
                f"{port.host} was made anew and has lost the VM of port {port.name or port.id}: "
                f"fakevm plug {port.id}"
            )

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self._phases[name] = round(time.monotonic() - start, 2)
        self._say(f"✓ {name} ({self._phases[name]:.1f} s)")


def vm_ports(lab: Parts, hosts: Collection[str]) -> list[Port]:
    """Return the ports of the VMs on these hosts."""
    return [
        port
        for port in lab.neutron.ports()
        if port.host in hosts and port.device_owner.startswith("compute:")
    ]


def places(ports: Iterable[Port]) -> str:
    """Return where ports are, in words."""
    return ", ".join(sorted(f"{port.name or port.id} on {port.host}" for port in ports))


def _check_port(port: int, whose: str, option: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConflictError(
                f"port {port} on 127.0.0.1, for {whose}, is in use",
                hint=f"fakevm up --{option} ANOTHER",
            ) from error


def build(lab: str, wishes: Wishes, *, engine: Engine, say: Callable[[str], None]) -> images.Unfit:
    """Build the images of a lab with these wishes, those that are missing or stale."""
    compose.check_version()
    wanted = decide.wanted_of(check_lab(lab), wishes, Existing(), ())
    return images.ensure(
        Compose(wanted, share.files()),
        engine=engine,
        release=wanted.neutron_version,
        build=True,
        unlabelled=True,
        say=say,
    )
