"""System calls that Python 3.11 has no name for. The only module that imports ctypes."""

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SHARED = 1 << 20
MS_SLAVE = 0x80000

_MNT_DETACH = 2
_PR_SET_CHILD_SUBREAPER = 36
_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17

_libc = ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: object) -> None:
    if getattr(_libc, function)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def setns(fd: int, kind: int) -> None:
    """Move the calling thread into the namespace that `fd` refers to."""
    _call("setns", fd, kind)


def unshare(flags: int) -> None:
    """Give the calling thread namespaces of its own."""
    _call("unshare", flags)


def mount(source: str | Path, target: str | Path, kind: str, flags: int = 0) -> None:
    """Mount `source` on `target`."""
    no_flags = ctypes.c_ulong(flags)
    _call("mount", os.fsencode(source), os.fsencode(target), kind.encode(), no_flags, None)


def unmount(target: str | Path) -> None:
    """Take a mount away from the tree at once; who still uses it keeps it."""
    _call("umount2", os.fsencode(target), _MNT_DETACH)


def become_subreaper() -> None:
    """Have orphaned descendants handed to this process instead of to PID 1."""
    _call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def disable_tx_checksum(device: str) -> None:
    """Do what `ethtool -K DEVICE tx off` does, in the calling thread's network namespace."""
    value = ctypes.create_string_buffer(struct.pack("II", _ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP", device.encode(), ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        fcntl.ioctl(channel, _SIOCETHTOOL, request.ljust(40, b"\0"))
