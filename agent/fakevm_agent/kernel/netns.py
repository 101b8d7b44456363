"""Network namespaces by name, as `ip netns` keeps them."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fakevm.errors import NotFoundError
from fakevm_agent.kernel import libc

DIRECTORY = Path("/run/netns")

_OWN = "/proc/thread-self/ns/net"

_making_directory = threading.Lock()


def path(name: str) -> Path:
    """Return the file that holds the namespace."""
    return DIRECTORY / name


def exists(name: str) -> bool:
    """Tell whether there is such a namespace.

    A restart of the whole host leaves an empty file of that name; only a mount has nsfs's device.
    """
    try:
        return path(name).stat().st_dev == Path(_OWN).stat().st_dev
    except FileNotFoundError:
        return False


def names() -> list[str]:
    """Return the names of all namespaces."""
    if not DIRECTORY.is_dir():
        return []
    return sorted(entry.name for entry in DIRECTORY.iterdir() if exists(entry.name))


def create(name: str) -> None:
    """Make a namespace; its IPv6 takes no router advertisements until a NIC is told to."""
    _make_directory()
    with ExitStack() as undo:
        path(name).touch(mode=0o444)
        undo.callback(path(name).unlink, missing_ok=True)
        with _back_again():
            libc.unshare(libc.CLONE_NEWNET)
            libc.mount(_OWN, path(name), "none", libc.MS_BIND)
            _set_up()
        undo.pop_all()


@contextmanager
def unnamed() -> Iterator[None]:
    """Run the block's system calls in a namespace like a fresh VM's, which goes with the block."""
    with _back_again():
        libc.unshare(libc.CLONE_NEWNET)
        _set_up()
        yield


def _set_up() -> None:
    for key in ("accept_ra", "autoconf"):
        write_sysctl(f"net/ipv6/conf/default/{key}", "0")
    # An address that goes leaves the others of its subnet.
    write_sysctl("net/ipv4/conf/all/promote_secondaries", "1")


def _make_directory() -> None:
    """Make the folder a shared mount, or the first `ip netns add` would lay one over ours."""
    with _making_directory:
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        try:
            libc.mount("", DIRECTORY, "none", libc.MS_SHARED | libc.MS_REC)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            libc.mount(DIRECTORY, DIRECTORY, "none", libc.MS_BIND | libc.MS_REC)
            libc.mount("", DIRECTORY, "none", libc.MS_SHARED | libc.MS_REC)


def delete(name: str) -> None:
    """Take the name away; the namespace goes when no process is left in it."""
    # An unlinked file loses its mounts in every mount namespace, those of VMs' processes included.
    if exists(name):
        libc.unmount(path(name))
    path(name).unlink(missing_ok=True)


@contextmanager
def entered(name: str | None) -> Iterator[None]:
    """Run the block's system calls in a namespace; only the calling thread moves."""
    if name is None:
        yield
        return
    with ExitStack() as stack:
        fd = open_fd(name)
        stack.callback(os.close, fd)
        stack.enter_context(_back_again())
        libc.setns(fd, libc.CLONE_NEWNET)
        yield


def open_fd(name: str) -> int:
    """Return a file descriptor of the namespace, for the caller to close."""
    if not exists(name):
        raise NotFoundError(f"this host has no VM {name}", hint="fakevm list")
    return os.open(path(name), os.O_RDONLY)


def write_sysctl(key: str, value: str) -> None:
    """Set a sysctl of the calling thread's namespace, if this kernel has it."""
    file = Path("/proc/sys", key)
    if file.exists():
        file.write_text(value)


def identity(name: str) -> tuple[int, int]:
    """Return what tells the namespace from all others, as /proc/PID/ns/net has it."""
    found = path(name).stat()
    return found.st_dev, found.st_ino


@contextmanager
def _back_again() -> Iterator[None]:
    own = os.open(_OWN, os.O_RDONLY)
    try:
        yield
    finally:
        libc.setns(own, libc.CLONE_NEWNET)
        os.close(own)
