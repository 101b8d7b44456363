"""Locks between processes of this machine that end with the process that holds them."""

from __future__ import annotations

import errno
import hashlib
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from fakevm.errors import ConflictError, FakevmError

# How often a lock that is waited for is tried.
_INTERVAL_S = 0.05

# What every lock's name begins with: a Unix socket's in the abstract namespace, so that no file
# could stay behind.
PREFIX = "\0fakevm/"


@contextmanager
def exclusive(name: str, *, busy: str, wait_s: float = 0) -> Iterator[None]:
    """Hold the lock of this name; ConflictError with the words `busy` if it can't be had."""
    # Hashed, since a socket's name has room for 107 bytes.
    address = PREFIX + hashlib.sha256(name.encode()).hexdigest()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        until = time.monotonic() + wait_s
        while not _bound(sock, address, name):
            if time.monotonic() >= until:
                raise ConflictError(busy, hint="wait for it to end; fakevm status")
            time.sleep(_INTERVAL_S)
        yield


def exclusive_lab(lab: str) -> AbstractContextManager[None]:
    """Keep another `up` or `down` of a lab from coming in between."""
    return exclusive(
        f"{lab}/up", busy=f"another `fakevm up` or `fakevm down` of the lab {lab!r} is running"
    )


def exclusive_vm(
    lab: str, instance_id: str, *, called: str = "", wait_s: float = 0
) -> AbstractContextManager[None]:
    """Hold what keeps a VM from being moved, plugged and deleted at once, as Nova's locks do."""
    busy = f"VM {called or instance_id} is being migrated, or a port of it plugged"
    return exclusive(f"{lab}/vm/{instance_id}", busy=busy, wait_s=wait_s)


def _bound(sock: socket.socket, address: str, name: str) -> bool:
    try:
        sock.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise FakevmError(f"the lock {name!r} can't be had: {error.strerror}") from error
    return True
