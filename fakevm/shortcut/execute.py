"""A command in a VM, or in many, by the shortest way there: for `fakevm exec` and `fakevm shell`.

What the other verbs import takes longer than the command. Where something is not as expected the
usual way is gone after all, which has the words for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import fakevm
from fakevm import clients, shortcut
from fakevm.clients.process import connect
from fakevm.errors import ConflictError, UnavailableError
from fakevm.names import container_name, is_host, is_uuid

if TYPE_CHECKING:
    from fakevm.clients.agents import Execution, Terminal
    from fakevm.clients.rpc import Stream
    from fakevm.inventory.several import Result

ANSWER_S = 30.0


def execute(
    lab: str,
    ref: str,
    argv: Sequence[str],
    *,
    host: str | None = None,
    timeout_s: float | None = None,
    terminal: Terminal | None = None,
    stdin: bool = False,
) -> Execution:
    """Start a command in the VM that has a port; leaving the Execution's block ends it."""
    if not is_uuid(ref) or not (host and is_host(host)):
        ref, host, container = _located(lab, ref, host)
    else:
        container = container_name(lab, host)
    # It is on its way while the rest is imported.
    stream = connect(container)
    agent = clients.agents.Agent(host, stream, explain=lambda: _explain(lab, host))
    return agent.execute(ref, argv, timeout_s=timeout_s, terminal=terminal, stdin=stdin)


def execute_in(
    lab: str, selectors: Sequence[str], argv: Sequence[str], *, timeout_s: float | None = None
) -> list[Result]:
    """Run a command in the VMs that are selected, of none in all, at once."""
    with _Streams(lab) as streams, fakevm.lab.Lab(lab, open_stream=streams.take) as usual:
        return usual.execute_in(selectors, argv, timeout_s=timeout_s)


class _Streams:
    """Streams to a lab's hosts, which are on their way while the rest is imported."""

    def __init__(self, lab: str) -> None:
        self._opened: dict[str, Stream] = {}
        # Where Docker can't be asked, the usual way has the words for it.
        with suppress(UnavailableError):
            for one in shortcut.containers.containers(ANSWER_S):
                if (one.lab, one.role, one.state) == (lab, "compute", "running"):
                    name = container_name(lab, one.service)
                    self._opened[name] = connect(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._opened.values():
            stream.close()

    def take(self, container: str) -> Stream:
        """Return the stream to a container, a new one if it was taken before."""
        return self._opened.pop(container, None) or connect(container)


def _located(lab: str, ref: str, host: str | None) -> tuple[str, str, str]:
    """Return a port's id, its host if none is given, and that host's container."""
    if found := shortcut.locate.locate(lab, ref, host, timeout_s=ANSWER_S):
        return (*found, container_name(lab, found[1]))
    with fakevm.lab.Lab(lab) as usual:
        port_id, agent = usual.located(ref, host)
        return port_id, agent.host, usual.running_compute(agent.host).name


def _explain(lab: str, host: str) -> None:
    """Say it if the lab or the host is not there, for which Docker has other words."""
    container = clients.parts.Parts(lab).running_compute(host)
    if container.lab != lab:
        raise ConflictError(
            f"{host} is a host of the lab that {lab!r} has joined",
            hint=f"fakevm --lab {container.lab} exec",
        )
