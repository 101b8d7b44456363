"""Processes in VMs: what the agent asks of the spawner."""

import fcntl
import json
import os
import socket
import struct
import termios
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakevm.errors import FakevmError, UnavailableError
from fakevm_agent.guest.folder import Guest
from fakevm_agent.guest.spawner import AT_ONCE
from fakevm_agent.kernel import netns

# A login's, and nothing of the agent's own environment.
_ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "LOGNAME": "root",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "SHELL": "/bin/sh",
    "USER": "root",
}


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """The terminal that a command runs in."""

    rows: int
    cols: int
    term: str = "xterm"


@dataclass(kw_only=True)
class Running:
    """The agent's ends of a command; with a terminal they are one descriptor, and no stderr."""

    stdin: int | None
    stdout: int
    stderr: int | None
    control: socket.socket

    def close_stdin(self) -> None:
        """End the command's input."""
        if self.stdin is not None and self.stdin != self.stdout:
            os.close(self.stdin)
        self.stdin = None

    def close(self) -> None:
        """Close every end, which also ends the command if it still runs."""
        self.control.close()
        self.close_stdin()
        os.close(self.stdout)
        if self.stderr is not None:
            os.close(self.stderr)


class Spawner:
    """The orders to the spawner's process."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the spawner; what runs in VMs in an exec ends with the agent's ends of it."""
        self._orders.close()

    def run(
        self, guest: Guest, argv: Sequence[str], *, terminal: Terminal | None, stdin: bool
    ) -> Running:
        """Start a command in a VM; NotFoundError: there is none."""
        (found,) = self._run((guest,), argv, terminal=terminal, stdin=stdin)
        if isinstance(found, FakevmError):
            raise found
        return found

    def run_each(self, guests: Sequence[Guest], argv: Sequence[str]) -> list[Running | FakevmError]:
        """Start a command in each of these VMs, without stdin; of one that is gone say so."""
        found: list[Running | FakevmError] = []
        try:
            for start in range(0, len(guests), AT_ONCE):
                found += self._run(guests[start : start + AT_ONCE], argv)
        except BaseException:
            _close(found)
            raise
        return found

    def start_detached(self, guest: Guest, argv: Sequence[str], *, log: Path) -> None:
        """Start a daemon in a VM that outlives the agent, with its output in a file."""
        with ExitStack() as stack:
            null = _open_null()
            stack.callback(os.close, null)
            output = stack.enter_context(log.open("wb")).fileno()
            vm = _described(guest), [_open_network(guest, stack), null, output, output, output]
            self._order([vm], argv, _ENVIRONMENT, detached=True)

    def _run(
        self,
        guests: Sequence[Guest],
        argv: Sequence[str],
        *,
        terminal: Terminal | None = None,
        stdin: bool = False,
    ) -> list[Running | FakevmError]:
        environment = dict(_ENVIRONMENT)
        if terminal:
            environment["TERM"] = terminal.term
        found: list[Running | FakevmError] = []
        vms = []
        with ExitStack() as theirs:
            try:
                for guest in guests:
                    try:
                        described = _described(guest)
                        network = _open_network(guest, theirs)
                    except FakevmError as error:
                        found.append(error)
                        continue
                    running, fds = _open(terminal, theirs, stdin=stdin)
                    found.append(running)
                    vms.append((described, [network, *fds]))
                if vms:
                    self._order(vms, argv, environment, tty=bool(terminal))
            except BaseException:
                _close(found)
                raise
        return found

    def _order(
        self,
        vms: Sequence[tuple[Mapping[str, Any], Sequence[int]]],
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        tty: bool = False,
        detached: bool = False,
    ) -> None:
        """Have a command started in VMs, each with its netns, stdin, stdout, stderr, control."""
        order = {
            "argv": list(argv),
            "environment": dict(environment),
            "detached": detached,
            "tty": tty,
            "vms": [described for described, _ in vms],
        }
        # A socket's message is too small for a long command line.
        payload = os.memfd_create("order")
        try:
            os.write(payload, json.dumps(order).encode())
            os.lseek(payload, 0, os.SEEK_SET)
            with self._lock:
                fds = [fd for _, each in vms for fd in each]
                socket.send_fds(self._orders, [b"!"], [payload, *fds])
        except OSError as error:
            raise UnavailableError(
                f"the agent can start no more processes in VMs: {error}",
                hint="in the host: s6-svc -r /run/services/fakevm-agent",
            ) from error
        finally:
            os.close(payload)


def _described(guest: Guest) -> dict[str, Any]:
    """Return what a command in a VM has of it, but for its network."""
    files = [(str(source), target) for source, target in guest.files()]
    return {"hostname": guest.hostname(), "files": files}


def _open_network(guest: Guest, stack: ExitStack) -> int:
    namespace = netns.open_fd(guest.instance_id)
    stack.callback(os.close, namespace)
    return namespace


def _open(
    terminal: Terminal | None, theirs: ExitStack, *, stdin: bool
) -> tuple[Running, list[int]]:
    """Return our ends of a command, and its own: stdin, stdout, stderr and control."""
    control, its_control = socket.socketpair()
    theirs.callback(its_control.close)
    if terminal:
        running, stdio = _open_terminal(terminal, control)
    else:
        running, stdio = _open_pipes(control, stdin=stdin)
    for fd in set(stdio):
        theirs.callback(os.close, fd)
    return running, [*stdio, its_control.fileno()]


def _close(all_found: Iterable[Running | FakevmError]) -> None:
    for found in all_found:
        if isinstance(found, Running):
            found.close()


def set_size(master: int, terminal: Terminal) -> None:
    """Tell a terminal its size; the kernel tells its programs."""
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", terminal.rows, terminal.cols, 0, 0))


def _open_terminal(
    terminal: Terminal, control: socket.socket
) -> tuple[Running, tuple[int, int, int]]:
    master, slave = os.openpty()
    set_size(master, terminal)
    return _running(master, master, None, control), (slave, slave, slave)


def _open_pipes(control: socket.socket, *, stdin: bool) -> tuple[Running, tuple[int, int, int]]:
    its_stdin, our_stdin = os.pipe() if stdin else (_open_null(), None)
    our_stdout, its_stdout = os.pipe()
    our_stderr, its_stderr = os.pipe()
    running = _running(our_stdin, our_stdout, our_stderr, control)
    return running, (its_stdin, its_stdout, its_stderr)


def _running(stdin: int | None, stdout: int, stderr: int | None, control: socket.socket) -> Running:
    for fd in (stdin, stdout, stderr):
        if fd is not None:
            os.set_blocking(fd, False)
    control.setblocking(False)
    return Running(stdin=stdin, stdout=stdout, stderr=stderr, control=control)


def _open_null() -> int:
    return os.open(os.devnull, os.O_RDONLY)
