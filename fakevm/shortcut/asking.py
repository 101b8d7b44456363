"""Questions to Neutron and to the Docker engine's socket: a GET each, by the standard library.

http.client would take as long to import as both take to answer.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_READ = 1 << 18

# Where the engine listens, if nobody says otherwise.
_SOCKET = "/var/run/docker.sock"


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


def engine_socket() -> str:
    """Return the socket that the docker program would use; "": it would go another way."""
    host = os.environ.get("DOCKER_HOST", "")
    if host:
        return host.removeprefix("unix://") if host.startswith("unix://") else ""
    context = os.environ.get("DOCKER_CONTEXT") or _current_context()
    return _SOCKET if context in ("", "default") else ""


def engine(path: str, target: str, *, timeout_s: float) -> Any:
    """Return what the engine answers; None if that can't be had."""
    return _got(socket.AF_UNIX, path, target, timeout_s)


def _current_context() -> str:
    try:
        folder = os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker"
        return str(json.loads(Path(folder, "config.json").read_bytes()).get("currentContext") or "")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, AttributeError, RuntimeError):
        return "?"


def _listed(
    api_port: int, what: str, query: Sequence[str], timeout_s: float
) -> list[Mapping[str, Any]] | None:
    target = f"/v2.0/{what}?{'&'.join(query)}"
    answer = _got(socket.AF_INET, ("127.0.0.1", api_port), target, timeout_s)
    try:
        found: list[Mapping[str, Any]] | None = answer and answer[what]
    except (LookupError, TypeError):
        return None
    return found


def _got(family: int, address: Any, target: str, timeout_s: float) -> Any:
    """Return the JSON that is answered to a GET; None: there is none."""
    # In HTTP 1.0 the answer is whole, and its end is the connection's.
    request = f"GET {target} HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\r\n"
    try:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(address)
            connection.sendall(request.encode())
            answer = b"".join(iter(lambda: connection.recv(_READ), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        return json.loads(body) if head.split()[1:2] == [b"200"] else None
    except (OSError, ValueError):
        return None
