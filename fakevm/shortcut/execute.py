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
        ref, host = _located(lab, ref, host)
    # It is on its way while the rest is imported.
    stream = connect(container_name(lab, host))
    agent = clients.agents.Agent(host, stream, explain=lambda: _explain(lab, host))
    return agent.execute(ref, argv, timeout_s=timeout_s, terminal=terminal, stdin=stdin)


def _located(lab: str, ref: str, host: str | None) -> tuple[str, str]:
    """Return a port's id, and its host if none is given."""
    if found := shortcut.locate.locate(lab, ref, host, timeout_s=ANSWER_S):
        return found
    with fakevm.lab.Lab(lab) as usual:
        port_id, agent = usual.located(ref, host)
    return port_id, agent.host


def _explain(lab: str, host: str) -> None:
    """Say it if the lab or the host is not there, for which Docker has other words."""
    clients.parts.Parts(lab).running_compute(host)
