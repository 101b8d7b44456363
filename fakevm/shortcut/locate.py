"""Where a VIF is, by one question to Docker and one to Neutron: for `exec` and `shell`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from fakevm import shortcut
from fakevm.errors import UnavailableError
from fakevm.names import NEUTRON_PORT, find_port, is_uuid
from fakevm.shortcut.containers import containers

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
    try:
        found = containers(timeout_s)
    except UnavailableError:
        return None
    running = {one.service: one for one in found if one.lab == lab and one.state == "running"}
    api = running.get("neutron-api")
    if api is None or NEUTRON_PORT not in api.ports:
        return None
    # Any other word may be a name, and is looked for in all.
    ports = shortcut.asking.ports(
        api.ports[NEUTRON_PORT],
        fields=_FIELDS,
        port_id=ref if is_uuid(ref) else "",
        timeout_s=timeout_s,
    )
    if ports is None:
        return None
    exact = [port for port in map(_place, ports) if ref in (port.id, port.name)]
    if not exact:
        # It may be a VM's name, or a UUID's beginning.
        return None
    port = find_port(ref, exact)
    target = host or port.host
    return (port.id, target) if target in running else None


def _place(found: Mapping[str, Any]) -> _Place:
    return _Place(*((found.get(name) or "") for name in _FIELDS))
