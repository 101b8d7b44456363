"""JSON-RPC 2.0, one message a line: lines to requests, results and errors to lines."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakevm.errors import FakevmError
from fakevm_agent.kernel.sockets import listen

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
_OURS = -32000

Id = str | int | float | None


class ProtocolError(Exception):
    """A message that is no request, or one that no method is for."""

    def __init__(self, code: int, message: str, request_id: Id = None) -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request, or a notification: one that has no id and gets no answer."""

    method: str
    params: Mapping[str, Any]
    request_id: Id = None
    notification: bool = False


@contextlib.asynccontextmanager
async def serving(
    path: Path,
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    *,
    line_max: int,
) -> AsyncIterator[None]:
    """Serve clients of a Unix socket during the block."""
    server = await asyncio.start_unix_server(serve, sock=listen(path), limit=line_max)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


def parse(line: bytes) -> Call:
    """Return the call in a line, or raise ProtocolError."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(PARSE_ERROR, f"not a line of JSON: {error}") from error
    if not isinstance(message, dict):
        raise ProtocolError(INVALID_REQUEST, "expected an object: one request a line, no batch")
    request_id = message.get("id")
    if not isinstance(request_id, Id):
        raise ProtocolError(INVALID_REQUEST, "id: expected a string or a number")
    if message.get("jsonrpc") != "2.0":
        raise ProtocolError(INVALID_REQUEST, 'jsonrpc: expected "2.0"', request_id)
    method = message.get("method")
    if not isinstance(method, str):
        raise ProtocolError(INVALID_REQUEST, "method: expected a string", request_id)
    params = message.get("params", {})
    if not isinstance(params, dict):
        raise ProtocolError(INVALID_PARAMS, "params: expected an object", request_id)
    return Call(
        method=method, params=params, request_id=request_id, notification="id" not in message
    )


def result(request_id: Id, value: object) -> bytes:
    """Return the line of a result."""
    return _line({"id": request_id, "result": value})


def notification(method: str, params: Mapping[str, Any]) -> bytes:
    """Return the line of a notification."""
    return _line({"method": method, "params": params})


def failure(request_id: Id, problem: Exception) -> bytes:
    """Return the line of an error."""
    return _line({"id": request_id, "error": error(problem)})


def error(problem: Exception) -> dict[str, Any]:
    """Return an error's object; of one that is not raised on purpose it says no more than that."""
    match problem:
        case ProtocolError():
            # For a client that knows fakevm.errors only: what it sent is wrong.
            return {
                "code": problem.code,
                "message": str(problem),
                "data": {"type": "ConfigError", "hint": ""},
            }
        case FakevmError():
            return {
                "code": _OURS,
                "message": str(problem),
                "data": {"type": type(problem).__name__, "hint": problem.hint},
            }
        case _:
            return {"code": INTERNAL_ERROR, "message": "internal error: see the agent's log"}


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
