"""The containers of a lab start: how it goes is told, and what does not get well is explained."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from fakevm.clients.containers import Container
from fakevm.clients.engine import Engine
from fakevm.clients.process import run
from fakevm.errors import FakevmError, UnavailableError, WaitTimeoutError
from fakevm.labs import restart
from fakevm.labs.explain import telling
from fakevm.labs.slowest import Healthy, last_healthy
from fakevm.recipe.compose import Compose

# How long a service may take that is not well to be so again: three of its health checks.
RECOVERY_S = 65.0

# An L2 agent that the user brought, and a service, is given up after so many ends; one a second, if
# it does not come further than its start.
ENDS = 5
ENDS_LOOKED_AT_S = 3.0


class Start:
    """The start of a lab's containers, of which some may be there."""

    def __init__(
        self,
        lab: str,
        *,
        engine: Engine,
        say: Callable[[str], None],
        start_order: Sequence[str],
        mend: str,
        brings_agent: bool = False,
    ) -> None:
        """`start_order`: roles; `mend`: commands; `brings_agent`: its L2 agent is the user's."""
        self._lab = lab
        self._engine = engine
        self._say = say
        self._start_order = start_order
        self._mend = mend
        self._brings_agent = brings_agent
        self._seen: dict[str, str] = {}
        # How often a container was seen between two starts, by its id.
        self._restarts: Counter[str] = Counter()
        self._looping: Container | None = None
        # By service: those that became healthy since the start.
        self._healthy: dict[str, Healthy] = {}
        self._start = time.monotonic()
        # Whether the containers are being started, so that a new one is one of them.
        self._begun = False
        self._looked = 0.0
        self._ended: FakevmError | None = None

    def let_recover(self, containers: Iterable[Container]) -> None:
        """Wait for what runs and is not well: Compose gives up as soon as it sees one of these.

        A check that failed while its service was busy is not made again for some seconds.
        """
        self._start = time.monotonic()
        running = {c.id for c in containers if c.running and c.health == "unhealthy"}
        deadline = time.monotonic() + RECOVERY_S
        while running and time.monotonic() < deadline:
            now = self._engine.containers(lab=self._lab)
            if not any(c.id in running and c.health == "unhealthy" for c in now):
                return
            self._tell_changes()
            time.sleep(1)

    def bring_up(self, docker_compose: Compose, *, timeout_s: float) -> None:
        """Start what is missing and tell how it goes; of what does not get well, say so."""
        self._changes()
        self._begun = True
        for container in self._brought_agents():
            self._in_agent_s_service(container, "s6-svdt-clear")
        begun = time.monotonic()
        try:
            docker_compose.up(timeout_s=timeout_s, on_wait=self._look)
        except FakevmError as error:
            if error is self._ended:
                raise
            late = time.monotonic() - begun >= timeout_s
            words = f"docker compose: {str(error).splitlines()[-1]}"
            explained = self._explained(words, late_s=timeout_s if late else None)
            raise explained or error from error
        self._tell_changes()

    @property
    def last_healthy(self) -> str:
        """Which container was healthy last, and what it had waited for; "": none has become so."""
        return last_healthy(self._healthy.values())

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
        for container, before, state in self._changes():
            if state in ("healthy", "unhealthy", "exited", "dead", "restarting"):
                self._say(f"{container.service}: {state} ({seconds:.1f} s)")
            # One that was there at the first look has not become so.
            if state == "healthy" and (before or self._begun):
                self._healthy[container.service] = Healthy(
                    service=container.service,
                    role=container.role,
                    after_s=seconds,
                    ends=self._restarts[container.id],
                )

    def _changes(self) -> list[tuple[Container, str, str]]:
        """Return containers that have another state than at the last look: which ones, then, now.

        "" of one that was not there.
        """
        found = []
        for container in self._engine.containers(lab=self._lab):
            state = container.health or container.state
            before = self._seen.get(container.id, "")
            if before != state:
                self._seen[container.id] = state
                self._restarts[container.id] += state == "restarting"
                if self._restarts[container.id] >= ENDS:
                    self._looping = container
                found.append((container, before, state))
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
        said = self._engine.logs(first, lines=20 * restart.LOG_LINES)
        words = telling(said, lines=restart.LOG_LINES)
        return kind(
            f"the lab is not up {when}: {states}\n{why}"
            + (f"\nThe log of {first.service}:\n{words}" if words else ""),
            hint=f"docker logs {first.name}; {self._mend}",
        )
