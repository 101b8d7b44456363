"""A client's stream ends with it, whatever became of its requests."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any, cast

from fakevm_agent.host.parts import Host
from fakevm_agent.server.client import Client
from fakevm_agent.server.requests import Requests
from fakevm_agent.server.workers import Workers

PORT = "aaaaaaaa-0000-4000-8000-000000000001"


async def said_to(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Serve a client that writes these lines and then no more; return what it is answered."""
    ours, theirs = socket.socketpair()
    # Never ready.
    workers = Workers(1, patience=0.01)
    client = Client(
        Requests(cast(Host, None), workers), *await asyncio.open_connection(sock=theirs)
    )
    serving = asyncio.create_task(client.serve())
    reader, writer = await asyncio.open_connection(sock=ours)
    writer.write(
        b"".join(json.dumps({"jsonrpc": "2.0", **line}).encode() + b"\n" for line in lines)
    )
    writer.write_eof()
    await asyncio.wait_for(serving, 10)
    answers = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    return [json.loads(answers)]


def test_what_is_sent_to_a_command_that_was_refused_is_waited_for_by_nobody() -> None:
    command = {"id": 1, "method": "exec", "params": {"port_id": PORT, "argv": ["true"]}}
    stdin = {"method": "exec.stdin", "params": {"id": 1, "data": ""}}
    (answer,) = asyncio.run(said_to([command, stdin, stdin]))
    assert answer["id"] == 1
    assert "has not made its VMs again yet" in answer["error"]["message"]
