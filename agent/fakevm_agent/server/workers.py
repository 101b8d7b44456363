"""The threads that requests work in, and whether the host is ready for them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from fakevm.errors import UnavailableError

_T = TypeVar("_T")


class Workers:
    """What every client's requests share."""

    def __init__(self, count: int, *, patience: float) -> None:
        # Set when the VMs are as OVSDB has them.
        self.ready = asyncio.Event()
        self._patience = patience
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="worker")
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def wait_until_ready(self) -> None:
        """Wait until the start's work is done, or raise UnavailableError."""
        try:
            async with asyncio.timeout(self._patience):
                await self.ready.wait()
        except TimeoutError as error:
            raise UnavailableError(
                "the agent has not made its VMs again yet: it waits for Open vSwitch's database",
                hint="in the host: s6-svc -r /run/services/ovsdb-server",
            ) from error

    async def in_thread(self, function: Callable[..., _T], *arguments: Any, **named: Any) -> _T:
        """Run what blocks."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(function, *arguments, **named))

    async def in_turn(
        self, subject: str, function: Callable[..., _T], *arguments: Any, **named: Any
    ) -> _T:
        """Run what blocks, after what was asked before of the same port or VM.

        A client that waited for an answer in vain undoes what it asked for: where both are read at
        once, as by an agent that was stopped, the second may not overtake the first.
        """
        # An asyncio.Lock is fair: who asked first is first.
        turn = self._turns.setdefault(subject, asyncio.Lock())
        async with turn:
            return await self.in_thread(function, *arguments, **named)

    def close(self) -> None:
        """Wait until all that was begun has ended."""
        self._pool.shutdown()
