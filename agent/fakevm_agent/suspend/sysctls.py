"""The sysctls of a VM's netns that are not as the agent sets them."""

import functools
import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

_ROOT = "/proc/sys"
_FOLDERS = ("net/ipv4/conf", "net/ipv6/conf")
# The first is the kernel's own number of the NIC, the second a secret that can't be read.
_LEFT_OUT = {"mtu", "stable_secret"}
_KEY = re.compile(r"net/ipv[46]/conf/[A-Za-z0-9][\w.-]*/\w+")
_VALUE_MAX = 4096


def read(devices: Collection[str]) -> dict[str, str]:
    """Return the values for `all`, `default` and these devices, by path below /proc/sys."""
    found = {}
    for folder in _FOLDERS:
        for device in ("all", "default", *devices):
            for name in _names(folder):
                # One that this device has not, or that can't be read.
                with suppress(OSError):
                    key = f"{folder}/{device}/{name}"
                    found[key] = _read(f"{_ROOT}/{key}")
    return found


def changed(found: Mapping[str, str], fresh: Mapping[str, str]) -> dict[str, str]:
    """Return those that are not as in a fresh netns, with `all` before what it may set.

    A device has the values of `default` when it is made.
    """
    kept: dict[str, str] = {}
    everywhere = set()
    for key, value in found.items():
        folder, device, name = key.rsplit("/", 2)
        before = fresh.get(key if device == "all" else f"{folder}/default/{name}")
        if value != before and device == "all":
            everywhere.add((folder, name))
        if value != before or (folder, name) in everywhere:
            kept[key] = value
    return kept


def write(values: Mapping[str, str]) -> list[str]:
    """Set these, in order; return those that the kernel refuses."""
    refused = []
    for key, value in values.items():
        try:
            Path(_ROOT, key).write_text(value)
        except OSError:
            refused.append(key)
    return refused


def is_one(key: str) -> bool:
    """Tell whether this is the path of what `read` reads."""
    return bool(_KEY.fullmatch(key))


@functools.cache
def _names(folder: str) -> list[str]:
    return sorted({entry.name for entry in Path(_ROOT, folder, "all").iterdir()} - _LEFT_OUT)


def _read(path: str) -> str:
    # pathlib and file objects would take several times as long, for some 300 files.
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, _VALUE_MAX).decode().rstrip("\n")
    finally:
        os.close(fd)
