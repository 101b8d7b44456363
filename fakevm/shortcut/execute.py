"""A command in a VM by the shortest way there, for `fakevm exec` and `fakevm shell`.

What the other verbs import takes longer than the command. Where something is not as expected the
usual way is gone after all, which has the words for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import fakevm
from fakevm import clients, shortcut
from fakevm.clients.process import connect
from fakevm.errors import ConflictError
from fakevm.names import container_name, is_host, is_uuid

if TYPE_CHECKING:
    from fakevm.clients.agents import Execution, Terminal

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
