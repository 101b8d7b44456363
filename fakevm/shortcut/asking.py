"""Questions to Neutron: a GET each, by the standard library."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from fakevm.clients.engine_socket import got


def ports(
    api_port: int, *, fields: Sequence[str], port_id: str = "", timeout_s: float
) -> list[Mapping[str, Any]] | None:
    """Return the port with this id, or all, with these fields; None if that can't be had."""
    query = [f"fields={name}" for name in fields]
    query += [f"id={port_id}"] if port_id else []
    return _listed(api_port, "ports", query, timeout_s)


def networks(
    api_port: int, *, fields: Sequence[str], timeout_s: float
) -> list[Mapping[str, Any]] | None:
    """Return all networks with these fields; None if that can't be had."""
    return _listed(api_port, "networks", [f"fields={name}" for name in fields], timeout_s)


def _listed(
    api_port: int, what: str, query: Sequence[str], timeout_s: float
) -> list[Mapping[str, Any]] | None:
    target = f"/v2.0/{what}?{'&'.join(query)}"
    try:
        with socket.create_connection(("127.0.0.1", api_port), timeout_s) as connection:
            answer = got(connection, target)
        found: list[Mapping[str, Any]] = answer[what]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found
