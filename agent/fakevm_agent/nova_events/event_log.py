"""What arrived, in order: the events that Neutron sent, and the steps that fakevm took."""

import asyncio
import time
from bisect import bisect_right
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

from fakevm.model import Entry

# As many are kept at least, at some 500 bytes each, and one tenth more at most.
KEPT = 10_000

# As many are given at once, so that an answer has a bound.
PAGE = 500


class EventLog:
    """Entries by their cursor. For one event loop."""

    def __init__(self, *, kept: int = KEPT) -> None:
        self._kept = kept
        self._entries: list[Entry] = []
        self._news = asyncio.Event()
        # Microseconds since the epoch, so that cursors also grow over a restart.
        self.cursor = time.time_ns() // 1000

    def add(self, **values: Any) -> Entry:
        """Keep an entry, as of now, and wake who waits for it."""
        now = time.time()
        self.cursor = max(self.cursor + 1, int(now * 1_000_000))
        entry = Entry(seq=self.cursor, time=now, **values)
        self._entries.append(entry)
        if len(self._entries) > self._kept + self._kept // 10:
            del self._entries[: -self._kept]
        self._news.set()
        self._news = asyncio.Event()
        return entry

    def after(
        self, cursor: int, instance_ids: Collection[str] | None = None
    ) -> tuple[list[Entry], int]:
        """Return the entries after a cursor, of these instances or of all, and where they end."""
        start = bisect_right(self._entries, cursor, key=lambda entry: entry.seq)
        found = list(islice(self._of(instance_ids, start), PAGE))
        return found, found[-1].seq if len(found) == PAGE else self.cursor

    async def wait_after(
        self, cursor: int, instance_ids: Collection[str] | None = None, *, timeout: float
    ) -> tuple[list[Entry], int]:
        """Return what `after` does, as soon as there is something, or empty in the end."""
        found, end = self.after(cursor, instance_ids)
        try:
            async with asyncio.timeout(timeout):
                while not found:
                    await self._news.wait()
                    found, end = self.after(end, instance_ids)
        except TimeoutError:
            pass
        return found, end

    def _of(self, instance_ids: Collection[str] | None, start: int) -> Iterator[Entry]:
        for entry in islice(self._entries, start, None):
            if instance_ids is None or entry.instance_id in instance_ids:
                yield entry
