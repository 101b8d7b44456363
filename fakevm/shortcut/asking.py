"""One GET of Neutron's ports or networks, by the standard library alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from typing import Any


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
    connection = HTTPConnection("127.0.0.1", api_port, timeout=timeout_s)
    try:
        connection.request("GET", f"/v2.0/{what}?{'&'.join(query)}")
        answer = connection.getresponse()
        if answer.status != 200:
            return None
        found: list[Mapping[str, Any]] = json.loads(answer.read())[what]
    except (OSError, HTTPException, ValueError, LookupError):
        return None
    finally:
        connection.close()
    return found
