"""One GET of Neutron's ports, by the standard library alone."""

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
    connection = HTTPConnection("127.0.0.1", api_port, timeout=timeout_s)
    try:
        connection.request("GET", f"/v2.0/ports?{'&'.join(query)}")
        answer = connection.getresponse()
        if answer.status != 200:
            return None
        found: list[Mapping[str, Any]] = json.loads(answer.read())["ports"]
    except (OSError, HTTPException, ValueError, LookupError):
        return None
    finally:
        connection.close()
    return found
