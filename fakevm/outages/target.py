"""What an outage is of: a container, or a process in a host."""

from __future__ import annotations

from dataclasses import dataclass

from fakevm.clients.containers import Container
from fakevm.clients.parts import Parts
from fakevm.clients.process import ExitError, run
from fakevm.errors import ConfigError, FakevmError, NotFoundError, UnavailableError

# How long a host may take for an order; a process may take ten seconds to end.
ORDER_S = 60.0

# host-outage's exit codes.
_NO_PROCESS, NO_NETEM = 3, 4


@dataclass(frozen=True, kw_only=True)
class Target:
    """A container, or one of a host's supervised processes."""

    container: Container
    # "": the container as a whole.
    process: str = ""

    def __str__(self) -> str:
        service = self.container.service
        return f"{self.process}@{service}" if self.process else service


def find(lab: Parts, ref: str) -> Target:
    """Return what a user names: a host, a service, or PROCESS@HOST."""
    process, at, service = ref.rpartition("@")
    if at and not (process and service):
        raise ConfigError(f"{ref!r}: a host, a service or PROCESS@HOST is expected")
    container = container_of(lab, service)
    if process and not (container.is_host or container.service == "ovn-central"):
        raise ConfigError(
            f"{service} is no host: its only process is the service itself",
            hint=f"fakevm stop {service}",
        )
    return Target(container=container, process=process)


def container_of(lab: Parts, service: str) -> Container:
    """Return a container by its service; NotFoundError, with those there are."""
    for container in lab.containers:
        if container.service == service:
            return container
    known = ", ".join(sorted(container.service for container in lab.containers))
    raise NotFoundError(f"the lab {lab.name!r} has no {service!r}, but {known}")


def order(container: Container, *words: str) -> str:
    """Have a host do something with host-outage; return what it says."""
    if not container.running:
        raise UnavailableError(
            f"{container.service} is {container.state}", hint=f"fakevm start {container.service}"
        )
    try:
        return run(("docker", "exec", container.name, "host-outage", *words), timeout_s=ORDER_S)
    except ExitError as error:
        if error.status == _NO_PROCESS:
            there = run(
                ("docker", "exec", container.name, "ls", "/run/services"), timeout_s=ORDER_S
            )
            raise NotFoundError(
                f"{container.service} has no process {words[1]!r}, but {', '.join(there.split())}"
            ) from error
        if error.status == NO_NETEM:
            raise UnavailableError(
                f"the kernel of this machine has no netem (sch_netem): {error.output}",
                hint="modprobe sch_netem, or fakevm cut",
            ) from error
        raise FakevmError(f"{container.service}: {error.output}") from error
