"""Hosts, services and processes that are stopped, killed, and started again."""

from __future__ import annotations

import time

from fakevm.clients.engine import Engine
from fakevm.errors import ConflictError, WaitTimeoutError
from fakevm.outages.target import Target, order
from fakevm.protocol.interrupt import deferred

# How often is looked whether a container is well again.
_POLL_S = 0.5


def stop(target: Target, *, engine: Engine) -> None:
    """End it, and leave it ended; content if it is."""
    # Who is interrupted goes on with it, and would take along what is started at once.
    with deferred():
        if target.process:
            order(target.container, "stop", target.process)
        else:
            engine.stop(target.container)


def kill(target: Target, *, engine: Engine) -> None:
    """End it without a word: SIGKILL. Its supervisor starts a process again; nobody a container."""
    if target.process:
        order(target.container, "kill", target.process)
    elif not target.container.running:
        raise ConflictError(f"{target} is {target.container.state}: nothing of it can be killed")
    else:
        engine.kill(target.container)


def start(target: Target, *, engine: Engine, timeout_s: float) -> None:
    """Let it be again, and wait until its container is well; content if it is."""
    if target.process:
        order(target.container, "start", target.process)
        return
    engine.start(target.container)
    deadline = time.monotonic() + timeout_s
    while True:
        (now,) = (
            c for c in engine.containers(lab=target.container.lab) if c.id == target.container.id
        )
        if now.is_well and now.health != "starting":
            return
        if time.monotonic() > deadline:
            raise WaitTimeoutError(
                f"{target} is {now.health or now.state} after {timeout_s:g} s",
                hint=f"docker logs {now.name}; fakevm status",
            )
        time.sleep(_POLL_S)
