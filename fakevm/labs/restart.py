"""Neutron's processes begin anew, with what is on disk by now; hosts and their VMs stay."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from fakevm import clients
from fakevm.clients.containers import KEYSTONE, Container
from fakevm.clients.engine import Engine
from fakevm.clients.parts import Parts
from fakevm.clients.process import ExitError, run
from fakevm.errors import FakevmError, NotFoundError, WaitTimeoutError

# neutron-restart's exit codes: the host has no such process, or it was stopped on purpose; one ends
# again and again.
_NO_PROCESS, _ENDS = 3, 4

# Of what failed, as many lines of its log are shown.
LOG_LINES = 15


@dataclass(frozen=True, kw_only=True)
class Restarted:
    """What was started anew in a service or a host, and is well again."""

    service: str
    processes: tuple[str, ...]
    seconds: float


def restart(
    lab: Parts,
    services: Collection[str] = (),
    *,
    only: str | None,
    engine: Engine,
    timeout_s: float,
) -> list[Restarted]:
    """Start Neutron's processes anew and wait until they are well.

    Of these services and hosts, or all; `only`: this process, as "l2-agent" or "api";
    NotFoundError, where none of them has it. The services come first, since hosts' agents would
    wait for them. Keystone is one of these only if it is named.
    """
    # One that ends again and again begins anew as well.
    alive = [c for c in lab.containers if c.running or (c.state == "restarting" and not c.is_host)]
    by_name = {c.service: c for c in alive}
    chosen = [by_name.get(name) or lab.service(name) for name in services] if services else alive
    named = [c for c in chosen if c.service == KEYSTONE and services]
    found = [c for c in chosen if c.has_neutron] + named
    deadline = time.monotonic() + timeout_s

    def in_host(container: Container) -> Restarted | None:
        start = time.monotonic()
        argv = ("docker", "exec", container.name, "neutron-restart", *([only] if only else []))
        try:
            said = run(argv, timeout_s=max(1.0, deadline - start))
        except ExitError as error:
            if error.status == _NO_PROCESS:
                return None
            if error.status == _ENDS:
                raise ended(container, error.output, engine=engine) from error
            raise FakevmError(f"{container.service}: {error.output}") from error
        except WaitTimeoutError as error:
            raise _late(container, timeout_s, engine) from error
        return _restarted(container, said.split(), start)

    def whole(container: Container) -> Restarted | None:
        process = container.role.removeprefix("neutron-")
        if only not in (None, process):
            return None
        start = time.monotonic()
        engine.restart(container)
        while not _is_well(container, engine):
            if time.monotonic() > deadline:
                raise _late(container, timeout_s, engine)
            time.sleep(0.2)
        return _restarted(container, [process], start)

    done = [
        *clients.at_once.each(whole, [c for c in found if not c.is_host]),
        *clients.at_once.each(in_host, [c for c in found if c.is_host]),
    ]
    if not any(done):
        what = f"process {only!r}" if only else "process of Neutron's that is to run"
        where = ", ".join(services) or f"the lab {lab.name!r}"
        raise NotFoundError(f"no {what} in {where}", hint=f"fakevm config show --lab {lab.name}")
    return [one for one in done if one]


def ended(container: Container, process: str, *, engine: Engine) -> FakevmError:
    """Return what is raised of a host's process that ends whenever it is started."""
    said = engine.logs(container, lines=10 * LOG_LINES).splitlines()
    words = [line for line in said if line.startswith(f"{process}: ")][-LOG_LINES:]
    return FakevmError(
        "\n".join(
            (f"{container.service}: {process} ends again and again; its last words:", *words)
        ),
        hint=f"docker logs {container.name}; mend it, then fakevm restart",
    )


def _restarted(container: Container, processes: Iterable[str], start: float) -> Restarted:
    return Restarted(
        service=container.service,
        processes=tuple(processes),
        seconds=round(time.monotonic() - start, 1),
    )


def _is_well(container: Container, engine: Engine) -> bool:
    now = engine.containers(lab=container.lab)
    return any(c.id == container.id and c.is_well for c in now)


def _late(container: Container, timeout_s: float, engine: Engine) -> WaitTimeoutError:
    words = engine.logs(container, lines=LOG_LINES).splitlines()
    late = f"{container.service} was not well again within {timeout_s:g} s; its last words:"
    return WaitTimeoutError(
        "\n".join((late, *words)),
        hint=f"docker logs {container.name}; mend it, then fakevm restart {container.service}",
    )
