"""The labs' containers by the shortest way: the engine's socket, or else `docker ps`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import Any, NamedTuple

from fakevm import shortcut
from fakevm.clients.process import ProcessStream
from fakevm.errors import WaitTimeoutError
from fakevm.names import HOME_LABEL, LAB_LABEL, ROLE_LABEL, SERVICE_LABEL, natural, published

_LABELS = (LAB_LABEL, HOME_LABEL, ROLE_LABEL, SERVICE_LABEL)
_SHOWN = "\t".join(
    (*(f'{{{{.Label "{label}"}}}}' for label in _LABELS), "{{.State}}", "{{.Ports}}")
)

# {"label": [LAB_LABEL]}
_TARGET = f"/containers/json?all=1&filters=%7B%22label%22%3A%5B%22{LAB_LABEL}%22%5D%7D"


class Container(NamedTuple):
    """A container of a lab, stopped or not."""

    lab: str
    home: str
    role: str
    service: str
    # Docker's word: running, exited, ….
    state: str
    # Ports of the container and where they are published.
    ports: Mapping[int, int]


def containers(timeout_s: float) -> list[Container]:
    """Return the containers of all labs, by service; WaitTimeoutError: not within this time."""
    deadline = time.monotonic() + timeout_s
    asking = shortcut.asking
    found: list[Container] | None = None
    if path := asking.engine_socket():
        with suppress(LookupError, TypeError, AttributeError):
            answer = asking.engine(path, _TARGET, timeout_s=timeout_s)
            found = None if answer is None else list(map(_of_answer, answer))
    if found is None:
        found = _shown(deadline)
    return sorted(found, key=lambda one: natural(one.service))


def _of_answer(told: Mapping[str, Any]) -> Container:
    lab, home, role, service = (told["Labels"].get(label, "") for label in _LABELS)
    ports = {one["PrivatePort"]: one["PublicPort"] for one in told["Ports"] if "PublicPort" in one}
    return Container(lab, home, role, service, told["State"], ports)


def _shown(deadline: float) -> list[Container]:
    program = ProcessStream(
        ("docker", "ps", "--all", "--filter", f"label={LAB_LABEL}", "--format", _SHOWN)
    )
    with closing(program):
        text = read(program, deadline).decode(errors="replace")
    lines = [line.split("\t") for line in text.splitlines()]
    return [
        Container(lab, home, role, service, state, published(ports))
        for lab, home, role, service, state, ports in (line for line in lines if len(line) == 6)
    ]


def read(stream: ProcessStream, deadline: float, *, until: bytes = b"") -> bytes:
    """Return what a program says until its end, or until it says this; WaitTimeoutError."""
    text = b""
    while stream.readable(deadline - time.monotonic()):
        piece = stream.read()
        text += piece
        if not piece or (until and until in piece):
            return text
    raise WaitTimeoutError("no answer in time")
