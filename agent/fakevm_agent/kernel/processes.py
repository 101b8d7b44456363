"""The processes in a network namespace, which `netns.identity` tells from all others."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from fakevm.errors import WaitTimeoutError


def inside(namespace: tuple[int, int]) -> dict[int, str]:
    """Return PID and command of each process in the namespace with this identity."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            its = (entry / "ns/net").stat()
            if (its.st_dev, its.st_ino) == namespace:
                # The kernel cuts it at a byte, perhaps in the midst of a character.
                command = (entry / "comm").read_bytes().decode(errors="replace")
                found[int(entry.name)] = command.strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            # It ended while we looked. Linux 6.18 denies, even to CAP_SYS_PTRACE, what a process
            # that has given up its memory still shows.
            continue
    return found


def signal_all(namespace: tuple[int, int], number: signal.Signals) -> None:
    """Send a signal to all that runs in the namespace with this identity."""
    for pid in inside(namespace):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def stop(namespace: tuple[int, int], *, patience: float = 1.0) -> None:
    """Let all stand still that runs in the namespace, and what it forks meanwhile.

    What the kernel holds for longer than `patience`, in seconds, stands still when it returns.
    """
    deadline = time.monotonic() + patience
    while running := [pid for pid in inside(namespace) if not _stands_still(pid)]:
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        if time.monotonic() > deadline:
            return
        time.sleep(0.005)


def _stands_still(pid: int) -> bool:
    """Tell whether a process is stopped, or has ended (proc_pid_stat(5), state)."""
    try:
        told = Path("/proc", str(pid), "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return told.rpartition(b")")[2].split()[0] in (b"T", b"t", b"Z", b"X")


def kill(namespace: tuple[int, int], *, timeout: float = 5.0) -> dict[int, str]:
    """Kill all that runs in the namespace with this identity, and return what it was."""
    killed: dict[int, str] = {}
    deadline = time.monotonic() + timeout
    while alive := inside(namespace):
        killed |= alive
        signal_all(namespace, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise WaitTimeoutError(f"processes {sorted(alive)} of a VM do not end by SIGKILL")
        time.sleep(0.005)
    return killed
