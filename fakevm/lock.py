"""Locks between processes of this machine that end with the process that holds them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from fakevm.errors import ConflictError


@contextmanager
def exclusive(name: str, *, busy: str) -> Iterator[None]:
    """Hold the lock of this name; raise ConflictError with the words `busy` if another has it."""
    # A Unix socket's name in the abstract namespace: no file that could stay behind.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(f"\0fakevm/{name}")
        except OSError as error:
            raise ConflictError(busy) from error
        yield
