"""Nova's answers to POST /v2.1/os-server-external-events, decided from the request alone.

Source: nova/api/openstack/compute/server_external_events.py of Nova 34, its schema beside it, and
what nova/api/openstack/wsgi.py answers before a request gets there.
"""

import json
import re
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fakevm.model import Server

PATH = "/v2.1/os-server-external-events"

# oslo.middleware's max_request_body_size.
BODY_MAX = 114_688

STATUSES = ("failed", "completed", "in-progress")

_MIN, _MAX = (2, 1), (2, 104)

# By the first microversion that knows them.
_NAMES = {
    "network-changed": (2, 1),
    "network-vif-plugged": (2, 1),
    "network-vif-unplugged": (2, 1),
    "network-vif-deleted": (2, 1),
    "volume-extended": (2, 51),
    "power-update": (2, 76),
    "accelerator-request-bound": (2, 82),
    "volume-reimaged": (2, 93),
}
_TAG_REQUIRED = ("volume-extended", "power-update", "accelerator-request-bound")
_TAG_MAX = 255

_FAULTS = {
    400: "badRequest",
    404: "itemNotFound",
    405: "badMethod",
    413: "overLimit",
    415: "badMediaType",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What came over HTTP; names of headers in lower case."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What goes back, and the events that came: as they were, each with what it was answered."""

    status: int
    body: Mapping[str, Any]
    version: str = ""
    events: tuple[Mapping[str, Any], ...] = ()


class _FaultError(Exception):
    """The request is refused as a whole."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def answer(request: Request, servers: Mapping[str, Server]) -> Answer:
    """Return what Nova would answer that has these servers, each on a host or on none."""
    version = ""
    try:
        number = _version(request.headers)
        version = ".".join(map(str, number))
        if request.path.rstrip("/") == "/v2.1":
            return Answer(status=200, body=_document(), version=version)
        events = _events(request, [name for name, since in _NAMES.items() if since <= number])
    except _FaultError as fault:
        name = _FAULTS.get(fault.status, "computeFault")
        body = {name: {"code": fault.status, "message": str(fault)}}
        return Answer(status=fault.status, body=body, version=version)
    answered = [_answered(event, servers) for event in events]
    return Answer(
        status=200 if all(event["code"] == 200 for event in answered) else 207,
        body={"events": answered},
        version=version,
        events=tuple(
            {**event, "code": told["code"]} for event, told in zip(events, answered, strict=True)
        ),
    )


def _answered(event: Mapping[str, Any], servers: Mapping[str, Server]) -> dict[str, Any]:
    """Return an event as it goes back: its status is then Nova's own."""
    if event["server_uuid"] not in servers:
        code = 404
    elif event["name"] in _TAG_REQUIRED and "tag" not in event:
        code = 400
    else:
        code = 200 if servers[event["server_uuid"]].host else 422
    return {**event, "status": "completed" if code == 200 else "failed", "code": code}


def _version(headers: Mapping[str, str]) -> tuple[int, int]:
    """Return the microversion that is asked for."""
    # Of several services' versions in one header, the last that is compute's.
    pairs = (one.split() for one in headers.get("openstack-api-version", "").split(","))
    asked = [pair[1] for pair in pairs if len(pair) == 2 and pair[0] == "compute"]
    text = asked[-1] if asked else headers.get("x-openstack-nova-api-version", "").strip()
    if not text:
        return _MIN
    if text == "latest":
        return _MAX
    match = re.fullmatch(r"([1-9]\d*)\.([1-9]\d*|0)", text)
    if not match:
        raise _FaultError(
            400,
            f"API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum.",
        )
    number = (int(match[1]), int(match[2]))
    if not _MIN <= number <= _MAX:
        raise _FaultError(
            406,
            f"Version {text} is not supported by the API. Minimum is {'.'.join(map(str, _MIN))}"
            f" and maximum is {'.'.join(map(str, _MAX))}.",
        )
    return number


def _events(request: Request, names: Collection[str]) -> list[dict[str, Any]]:
    """Return the events of a request, or raise what it is refused with."""
    if request.path != PATH:
        raise _FaultError(404, "The resource could not be found.")
    if request.method != "POST":
        raise _FaultError(405, "The method specified is not allowed for this resource.")
    if len(request.body) > BODY_MAX:
        raise _FaultError(413, "Request is too large.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("", "text/plain", "application/json", "application/vnd.openstack.compute+json"):
        raise _FaultError(415, "Unsupported Content-Type")
    try:
        body: Any = json.loads(request.body) if request.body else None
    except (ValueError, RecursionError):
        raise _FaultError(400, "Malformed request body") from None
    for place, value, fault in _faults(body, names):
        words = f"Invalid input for field/attribute {place}. Value: {value}. " if place else ""
        raise _FaultError(400, f"{words}{fault}")
    return list(body["events"])


def _faults(body: Any, names: Collection[str]) -> Iterator[tuple[str, Any, str]]:
    """Yield what the schema does not allow: where, what stands there, and why."""
    if not isinstance(body, dict):
        yield "", body, f"{body!r} is not of type 'object'"
        return
    yield from _keys("", body, needed=("events",), allowed=("events",))
    events = body.get("events")
    if not isinstance(events, list):
        yield "events", events, f"{events!r} is not of type 'array'"
        return
    if not events:
        yield "events", events, "[] should be non-empty"
    for number, event in enumerate(events):
        if not isinstance(event, dict):
            yield str(number), event, f"{event!r} is not of type 'object'"
            continue
        allowed = ("name", "server_uuid", "status", "tag")
        yield from _keys(str(number), event, needed=allowed[:2], allowed=allowed)
        yield from _values(event, names)


def _keys(
    place: str, value: Mapping[str, Any], *, needed: Collection[str], allowed: Collection[str]
) -> Iterator[tuple[str, Any, str]]:
    for key in needed:
        if key not in value:
            yield place, value, f"{key!r} is a required property"
    if extra := [repr(key) for key in value if key not in allowed]:
        verb = "was" if len(extra) == 1 else "were"
        words = f"Additional properties are not allowed ({', '.join(extra)} {verb} unexpected)"
        yield place, value, words


def _values(event: Mapping[str, Any], names: Collection[str]) -> Iterator[tuple[str, Any, str]]:
    for key, value in event.items():
        if not isinstance(value, str):
            yield key, value, f"{value!r} is not of type 'string'"
        elif key == "server_uuid" and not _is_uuid(value):
            yield key, value, f"{value!r} is not a 'uuid'"
        elif key == "tag" and len(value) > _TAG_MAX:
            yield key, value, f"{value!r} is too long"
        else:
            choices = {"name": names, "status": STATUSES}.get(key)
            if choices is not None and value not in choices:
                yield key, value, f"{value!r} is not one of {list(choices)!r}"


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _document() -> dict[str, Any]:
    """Return what Nova says of this version of its API."""
    return {
        "version": {
            "id": "v2.1",
            "status": "CURRENT",
            "version": ".".join(map(str, _MAX)),
            "min_version": ".".join(map(str, _MIN)),
            "updated": "2013-07-23T11:33:21Z",
            "links": [],
            "media-types": [
                {
                    "base": "application/json",
                    "type": "application/vnd.openstack.compute+json;version=2.1",
                }
            ],
        }
    }
