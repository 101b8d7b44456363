"""The labs' containers, as far as what must not wait for imports needs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from fakevm.clients.process import ask_engine
from fakevm.names import HOME_LABEL, LAB_LABEL, ROLE_LABEL, SERVICE_LABEL, natural

_LABELS = (LAB_LABEL, HOME_LABEL, ROLE_LABEL, SERVICE_LABEL)

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
    """Return the containers of all labs, by service.

    WaitTimeoutError: not within this time; UnavailableError: the engine can't be asked.
    """
    found = map(_of_answer, ask_engine(_TARGET, timeout_s=timeout_s))
    return sorted(found, key=lambda one: natural(one.service))


def _of_answer(told: Mapping[str, Any]) -> Container:
    lab, home, role, service = (told["Labels"].get(label, "") for label in _LABELS)
    ports = {
        one["PrivatePort"]: one["PublicPort"] for one in told["Ports"] if one.get("PublicPort")
    }
    return Container(lab, home, role, service, told["State"], ports)
