"""This machine's files that say what a lab can have of it: /proc, /sys, /dev, disks. Only read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fakevm.preflight.shared import LIMITS
from fakevm.preflight.values import Kernel

# Where the engine's containers are: with the driver cgroupfs and systemd, of v1 and v2.
_CGROUPS = tuple(
    f"sys/fs/cgroup/{version}{folder}/pids.max"
    for version in ("", "pids/")
    for folder in ("docker", "system.slice")
)


def kernel(root: Path) -> Kernel:
    """Return what the files below a root say of the kernel; nothing where it has no /proc."""
    proc = root / "proc"
    release = _text(proc / "sys/kernel/osrelease")
    if not release:
        return Kernel()
    memory = _memory_mb(proc / "meminfo")
    loadable = _modules(root / "lib/modules" / release)
    return Kernel(
        release=release,
        memory_mb=memory.get("MemAvailable"),
        swap_mb=memory.get("SwapFree", 0),
        has_tun=(root / "dev/net/tun").exists(),
        # Not there with ipv6.disable=1.
        has_ipv6=(proc / "net/if_inet6").exists(),
        has_openvswitch=(root / "sys/module/openvswitch").exists(),
        may_have_openvswitch="openvswitch" in loadable,
        has_iptables=(
            bool({"nf_tables", "ip_tables"} & loadable)
            or (root / "sys/module/nf_tables").exists()
            or (root / "sys/module/ip_tables").exists()
            or (proc / "net/ip_tables_names").exists()
        ),
        limits={name: found for name in LIMITS for found in _numbers(proc / "sys" / name)},
        pids=min((n for name in _CGROUPS for n in _numbers(root / name)), default=None),
    )


def free_mb(folder: Path) -> int | None:
    """Return what is free where a folder is, or would be; None: nobody can tell."""
    for place in (folder, *folder.parents):
        # The engine's own may be for root alone.
        with suppress(OSError):
            found = os.statvfs(place)
            return found.f_bavail * found.f_frsize // 1_000_000
    return None


def _memory_mb(meminfo: Path) -> dict[str, int]:
    """Return what there is of memory, by the kernel's names for it; empty, if that is not told."""
    lines = (line.split() for line in _text(meminfo).splitlines())
    # "kB" are of 1024 bytes (proc_meminfo(5)).
    return {line[0].rstrip(":"): int(line[1]) * 1024 // 1_000_000 for line in lines}


def _modules(folder: Path) -> set[str]:
    """Return the names of the modules that a kernel has, built in or not."""
    listed = "\n".join(_text(folder / name) for name in ("modules.dep", "modules.builtin"))
    paths = (line.partition(":")[0] for line in listed.splitlines())
    return {path.rpartition("/")[2].partition(".ko")[0].replace("-", "_") for path in paths}


def _numbers(path: Path) -> Iterator[int]:
    """Yield a file's number; none where it has another word, as "max", or is not there."""
    if (text := _text(path)).isdigit():
        yield int(text)


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").strip()
    return ""
