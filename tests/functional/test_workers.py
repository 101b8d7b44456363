"""What is asked of one port is done in the order in which it was asked, of others side by side."""

from __future__ import annotations

import asyncio
import threading

from fakevm_agent.server.workers import Workers

PATIENCE_S = 10


def test_an_undo_does_not_overtake_what_it_undoes() -> None:
    done: list[str] = []
    other = threading.Event()

    def plug() -> None:
        assert other.wait(PATIENCE_S)
        done.append("plug")

    async def ask() -> None:
        workers = Workers(3, patience=PATIENCE_S)
        await asyncio.gather(
            workers.in_turn("a port", plug),
            workers.in_turn("a port", done.append, "unplug"),
            workers.in_turn("another port", other.set),
        )
        workers.close()

    asyncio.run(ask())
    assert done == ["plug", "unplug"]


def test_who_comes_after_a_failure_has_its_turn() -> None:
    def fail() -> None:
        raise ValueError("it can't be plugged")

    async def ask() -> list[object]:
        workers = Workers(2, patience=PATIENCE_S)
        told = await asyncio.gather(
            workers.in_turn("a port", fail),
            workers.in_turn("a port", str, "unplugged"),
            return_exceptions=True,
        )
        workers.close()
        return list(told)

    failure, unplugged = asyncio.run(ask())
    assert isinstance(failure, ValueError)
    assert unplugged == "unplugged"
