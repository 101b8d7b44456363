"""What is made in Neutron is told, whoever of this process makes it: pure but for the hook."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import requests

_CREATED = 201


@dataclass(frozen=True, kw_only=True)
class Made:
    """An object of Neutron's that was made."""

    # Below /v2.0, of all such objects: "/networks", "/qos/policies".
    collection: str
    id: str
    name: str = ""
    # Of a port, whose it is: a VM's id, and "compute:nova".
    device_id: str = ""
    device_owner: str = ""

    @property
    def path(self) -> str:
        """The object's own."""
        return f"{self.collection}/{self.id}"


def made(url: str, body: Any) -> Iterator[Made]:
    """Yield what an answer to a POST says was made: one object, or those of a bulk request."""
    _, _, collection = urlsplit(url).path.partition("/v2.0")
    if not isinstance(body, Mapping):
        return
    for found in body.values():
        for one in found if isinstance(found, list) else [found]:
            # A port's binding has none: it goes with its port.
            if isinstance(one, Mapping) and one.get("id"):
                yield Made(
                    collection=collection.rstrip("/"),
                    id=one["id"],
                    name=one.get("name") or "",
                    device_id=one.get("device_id") or "",
                    device_owner=one.get("device_owner") or "",
                )


def hear(session: requests.Session, hearing: Sequence[Callable[[Made], None]]) -> None:
    """Let those who hear be told of everything that a session's requests make."""

    def answered(answer: requests.Response, *_: object, **__: object) -> None:
        request = answer.request
        if hearing and request.method == "POST" and answer.status_code == _CREATED:
            for one in made(str(request.url), answer.json()):
                for tell in tuple(hearing):
                    tell(one)

    session.hooks["response"].append(answered)
