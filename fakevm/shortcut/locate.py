"""Where a VIF is, by `docker ps` and one GET: for `exec` and `shell`, which import nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from fakevm.clients.process import ProcessStream
from fakevm.names import LAB_LABEL, NEUTRON_PORT, SERVICE_LABEL, find_port, is_uuid, published

if TYPE_CHECKING:
    from http.client import HTTPConnection

# Of a port in Neutron's answer.
_FIELDS = ("id", "name", "device_owner", "binding:host_id")


class _Place(NamedTuple):
    """A port, as far as it is looked for."""

    id: str
    name: str
    device_owner: str
    host: str


def locate(lab: str, ref: str, host: str | None, *, timeout_s: float) -> tuple[str, str] | None:
    """Return a port's id and the host it is on, or the one that is given, which must run.

    None if anything is not as expected; NotFoundError or ConflictError if `ref` is not one port.
    """
    shown = f'{{{{.Label "{SERVICE_LABEL}"}}}}\t{{{{.Ports}}}}'
    program = ProcessStream(
        ("docker", "ps", "--filter", f"label={LAB_LABEL}={lab}", "--format", shown)
    )
    # It runs while this is imported.
    from http.client import HTTPConnection, HTTPException

    running = dict(line.partition("\t")[::2] for line in _output(program).splitlines())
    api_port = published(running.get("neutron-api", "")).get(NEUTRON_PORT)
    if api_port is None:
        return None
    connection = HTTPConnection("127.0.0.1", api_port, timeout=timeout_s)
    try:
        ports = _ports(connection, ref)
    except (OSError, HTTPException, ValueError, LookupError):
        return None
    finally:
        connection.close()
    port = find_port(ref, [_place(found) for found in ports])
    target = host or port.host
    return (port.id, target) if target in running else None


def _output(program: ProcessStream) -> str:
    text = b""
    while piece := program.read():
        text += piece
    program.close()
    return text.decode()


def _ports(connection: HTTPConnection, ref: str) -> list[Mapping[str, Any]]:
    query = [f"fields={name}" for name in _FIELDS]
    # Any other word may be a name or a UUID's beginning, and is looked for in all.
    query += [f"id={ref}"] if is_uuid(ref) else []
    connection.request("GET", f"/v2.0/ports?{'&'.join(query)}")
    answer = connection.getresponse()
    if answer.status != 200:
        raise ValueError(answer.status)
    found: list[Mapping[str, Any]] = json.loads(answer.read())["ports"]
    return found


def _place(found: Mapping[str, Any]) -> _Place:
    return _Place(*((found.get(name) or "") for name in _FIELDS))
