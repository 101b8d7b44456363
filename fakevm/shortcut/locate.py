"""Where a VIF is, by `docker ps` and one GET: for `exec` and `shell`, which import nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from fakevm import shortcut
from fakevm.clients.process import ProcessStream
from fakevm.errors import NotFoundError
from fakevm.names import LAB_LABEL, NEUTRON_PORT, SERVICE_LABEL, find_port, is_uuid, published

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

    None if anything is not as expected; ConflictError if `ref` is several ports.
    """
    shown = f'{{{{.Label "{SERVICE_LABEL}"}}}}\t{{{{.Ports}}}}'
    program = ProcessStream(
        ("docker", "ps", "--filter", f"label={LAB_LABEL}={lab}", "--format", shown)
    )
    # It runs while this is imported.
    asking = shortcut.asking
    running = dict(line.partition("\t")[::2] for line in _output(program).splitlines())
    api_port = published(running.get("neutron-api", "")).get(NEUTRON_PORT)
    if api_port is None:
        return None
    # Any other word may be a name or a UUID's beginning, and is looked for in all.
    ports = asking.ports(
        api_port, fields=_FIELDS, port_id=ref if is_uuid(ref) else "", timeout_s=timeout_s
    )
    if ports is None:
        return None
    try:
        port = find_port(ref, [_place(found) for found in ports])
    except NotFoundError:
        # It may be a VM's name.
        return None
    target = host or port.host
    return (port.id, target) if target in running else None


def _output(program: ProcessStream) -> str:
    text = b""
    while piece := program.read():
        text += piece
    program.close()
    return text.decode()


def _place(found: Mapping[str, Any]) -> _Place:
    return _Place(*((found.get(name) or "") for name in _FIELDS))
