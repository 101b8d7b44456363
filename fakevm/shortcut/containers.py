"""The labs' containers, as far as what must not wait for imports needs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from fakevm.clients import process
from fakevm.names import HOME_LABEL, LAB_LABEL, ROLE_LABEL, SERVICE_LABEL, natural, published

_LABELS = (LAB_LABEL, HOME_LABEL, ROLE_LABEL, SERVICE_LABEL)


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
    found = map(_of_answer, process.containers(LAB_LABEL, timeout_s=timeout_s))
    return sorted(found, key=lambda one: natural(one.service))


def _of_answer(told: Mapping[str, Any]) -> Container:
    lab, home, role, service = (told["Labels"].get(label, "") for label in _LABELS)
    return Container(lab, home, role, service, told["State"], published(told["Ports"]))
