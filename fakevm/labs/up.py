"""A lab's beginning, and every change of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from fakevm.clients.engine import Engine
from fakevm.clients.parts import Parts
from fakevm.errors import ConflictError
from fakevm.labs import restart, slowest, status
from fakevm.labs.start import RECOVERY_S, Start
from fakevm.names import check_lab, container_name, project
from fakevm.neutron.values import Port
from fakevm.protocol.lock import exclusive_lab
from fakevm.recipe import compose, config, decide, images, overlay, share
from fakevm.recipe.compose import Compose
from fakevm.recipe.settings import Existing, Settings, Wishes


@dataclass(frozen=True, kw_only=True)
class UpReport:
    """A lab that is up."""

    lab: str
    endpoint: str
    # In seconds.
    phases: dict[str, float]
    # Removed because fewer compute hosts were asked for.
    removed_hosts: tuple[str, ...]
    # The longest phase and its reason, in words; "": none took long.
    slowest: str
    status: status.Status


class Up:
    """One run of `fakevm up`. Whatever it finds of the lab it leaves, completes or changes."""

    def __init__(
        self,
        lab: str,
        wishes: Wishes,
        *,
        engine: Engine,
        say: Callable[[str], None],
        look: Callable[[Settings], None] = lambda _wanted: None,
    ) -> None:
        """`look` raises where the machine has not what the lab needs; nothing is changed yet."""
        self._lab = check_lab(lab)
        self._wishes = wishes
        self._engine = engine
        self._say = say
        self._look = look
        self._phases: dict[str, float] = {}
        # Of each phase, why it took as long as it did.
        self._why: dict[str, str] = {}

    def run(self, *, timeout_s: float) -> UpReport:
        """Bring the lab up, or to what is wished now, and wait until it is healthy."""
        with exclusive_lab(self._lab):
            with self._phase("check"):
                wanted, existing = self._checked()
                self._look(wanted)
            docker_compose = Compose(wanted, share.files())
            start = Start(
                self._lab,
                engine=self._engine,
                say=self._say,
                start_order=wanted.backend.start_order,
                mend="fakevm up, again; or fakevm down",
                brings_agent=bool(wanted.backend.other_l2_agent(wanted.options)),
            )
            with self._phase("images"):
                done: list[str] = []
                for release in wanted.releases:
                    made = images.ensure(
                        Compose(replace(wanted, neutron_version=release), share.files()),
                        engine=self._engine,
                        release=release,
                        build=self._wishes.build,
                        hosts_alone=release != wanted.neutron_version,
                        say=self._say,
                    )
                    done += [made.done] if made else []
                self._why["images"] = "; ".join(done)
            with self._phase("overlay"):
                overlaid = overlay.lay(wanted, existing, engine=self._engine, say=self._say)
            if not overlaid:
                with self._phase("configuration"):
                    config.check(wanted, say=self._say)
            surplus = [host for host in existing.hosts if host not in wanted.hosts]
            with self._phase("start"):
                self._sweep(existing)
                start.let_recover(existing.containers)
                start.bring_up(docker_compose, timeout_s=timeout_s)
                self._why["start"] = start.last_healthy
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
                slowest=slowest.told(self._phases, self._why),
                status=found,
            )

    def _checked(self) -> tuple[Settings, Existing]:
        """Look at everything that could go wrong before anything is changed."""
        everything = self._engine.containers(project=project(self._lab))
        compose.check_version()
        networks = self._engine.networks()
        compose.check_ownership(self._lab, everything, networks)
        if joined := next(filter(None, (c.joined for c in everything)), ""):
            raise ConflictError(
                f"the lab {self._lab!r} has joined {joined!r}, and has no Neutron of its own",
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
        self._refuse_to_lose_guests(wanted, existing)
        self._refuse_to_lose_vms(wanted, existing)
        return wanted, existing

    def _refuse_to_lose_guests(self, wanted: Settings, existing: Existing) -> None:
        """See that hosts of other labs that have joined this one stay what they are."""
        joined = [c for c in self._engine.containers() if c.home == self._lab]
        hint = f"fakevm leave --name {joined[0].lab}" if joined else ""
        if taken := {c.service for c in joined} & set(wanted.hosts):
            raise ConflictError(
                f"a host {', '.join(sorted(taken))} has joined the lab {self._lab!r} already",
                hint=hint,
            )
        if joined and existing.has_keystone not in (None, wanted.has_keystone):
            hosts = ", ".join(c.service for c in joined)
            raise ConflictError(
                f"no host that has joined outlives another --auth: {hosts}", hint=hint
            )

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
            self._why["agree"] = (
                f"Neutron had not heard of the L2 agent of {', '.join(h.host for h in away)}"
            )
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
    """Get or build the images of a lab with these wishes, those that are missing or stale."""
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
