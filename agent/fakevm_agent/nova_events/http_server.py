"""As much of HTTP/1.1 as an API needs whose requests are small and whose answers are JSON."""

import asyncio
import json
import re
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus

from fakevm_agent.nova_events.nova_api import BODY_MAX, Answer, Request

_HEAD_MAX = 64 * 1024
# How long the rest of a request may take that has begun to come.
_PATIENCE = 60
_LINGER = 1

Respond = Callable[[Request], Awaitable[Answer]]


class MalformedError(Exception):
    """What came is not HTTP."""


async def serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, respond: Respond
) -> None:
    """Answer the requests of one connection, one after the other, until it ends."""
    try:
        while True:
            try:
                request = await _request(reader)
            except (MalformedError, TimeoutError) as error:
                fault = {"badRequest": {"code": 400, "message": str(error) or "too slow"}}
                await _send(writer, Answer(status=400, body=fault), last=True)
                await _drop(reader)
                return
            if request is None:
                return
            # What is left of a body that is too large is not read.
            last = _is_last(request) or len(request.body) > BODY_MAX
            await _send(writer, await respond(request), last=last)
            if last:
                await _drop(reader)
                return
    except ConnectionError:
        pass  # It is gone.
    finally:
        writer.close()


async def _request(reader: asyncio.StreamReader) -> Request | None:
    """Return the next request; None at the end. Of a body above BODY_MAX, one byte more than it."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise MalformedError("the headers are too long") from error
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.0", "HTTP/1.1"):
        raise MalformedError("the first line is no request of HTTP/1.1")
    headers = {":http": words[2]}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedError("a line of the headers has no colon")
        headers[name.strip().lower()] = value.strip()
    if "transfer-encoding" in headers:
        raise MalformedError("a body without Content-Length")
    length = headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,12}", length):
        raise MalformedError("Content-Length is no number")
    try:
        async with asyncio.timeout(_PATIENCE):
            body = await reader.readexactly(min(int(length), BODY_MAX + 1))
    except asyncio.IncompleteReadError:
        return None
    path = words[1].partition("?")[0]
    return Request(method=words[0], path=path, headers=headers, body=body)


async def _drop(reader: asyncio.StreamReader) -> None:
    """Read what still comes for a moment: a close with unread data would take back the answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER):
            while await reader.read(_HEAD_MAX):
                pass


def _is_last(request: Request) -> bool:
    said = request.headers.get("connection", "").lower()
    return said == "close" or (request.headers[":http"] == "HTTP/1.0" and said != "keep-alive")


async def _send(writer: asyncio.StreamWriter, answer: Answer, *, last: bool) -> None:
    body = json.dumps(answer.body).encode()
    request_id = f"req-{uuid.uuid4()}"
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "x-openstack-request-id": request_id,
        "x-compute-request-id": request_id,
    }
    if answer.version:
        headers["OpenStack-API-Version"] = f"compute {answer.version}"
        headers["X-OpenStack-Nova-API-Version"] = answer.version
        headers["Vary"] = "OpenStack-API-Version, X-OpenStack-Nova-API-Version"
    if last:
        headers["Connection"] = "close"
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join((*lines, "", "")).encode() + body)
    await writer.drain()
    if last:
        writer.write_eof()
