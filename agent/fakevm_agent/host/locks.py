"""Locks by name, made when they are asked for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Locks:
    """A lock for each name in use."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.RLock, int]] = {}

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Hold the name's lock during the block; the same thread may hold it again."""
        with self._guard:
            lock, users = self._locks.get(name, (threading.RLock(), 0))
            self._locks[name] = lock, users + 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._locks[name]
                if users == 1:
                    del self._locks[name]
                else:
                    self._locks[name] = lock, users - 1
