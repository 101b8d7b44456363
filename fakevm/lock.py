"""Locks between processes of this machine that end with the process that holds them."""

from __future__ import annotations

import errno
import hashlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from fakevm.errors import ConflictError, FakevmError


@contextmanager
def exclusive(name: str, *, busy: str) -> Iterator[None]:
    """Hold the lock of this name; raise ConflictError with the words `busy` if another has it."""
    # A Unix socket's name in the abstract namespace: no file that could stay behind. Hashed, since
    # it has room for 107 bytes.
    address = "\0fakevm/" + hashlib.sha256(name.encode()).hexdigest()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConflictError(busy, hint="wait for it to end; fakevm status") from error
            raise FakevmError(f"the lock {name!r} can't be had: {error.strerror}") from error
        yield
