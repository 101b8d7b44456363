"""Processes in VMs: what the agent asks of the spawner."""

import fcntl
import json
import os
import socket
import struct
import termios
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fakevm.errors import UnavailableError
from fakevm_agent.guest.folder import Guest
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
        """Start a command in a VM."""
        with ExitStack() as theirs:
            control, its_control = socket.socketpair()
            theirs.callback(its_control.close)
            if terminal:
                running, stdio = _open_terminal(terminal, control)
            else:
                running, stdio = _open_pipes(control, stdin=stdin)
            for fd in set(stdio):
                theirs.callback(os.close, fd)
            environment = dict(_ENVIRONMENT)
            if terminal:
                environment["TERM"] = terminal.term
            try:
                self._order(
                    guest, argv, environment, stdio, its_control.fileno(), tty=bool(terminal)
                )
            except BaseException:
                running.close()
                raise
        return running

    def start_detached(self, guest: Guest, argv: Sequence[str], *, log: Path) -> None:
        """Start a daemon in a VM that outlives the agent, with its output in a file."""
        with ExitStack() as stack:
            null = _open_null()
            stack.callback(os.close, null)
            output = stack.enter_context(log.open("wb")).fileno()
            self._order(guest, argv, _ENVIRONMENT, (null, output, output), output, detached=True)

    def _order(
        self,
        guest: Guest,
        argv: Sequence[str],
        environment: Mapping[str, str],
        stdio: tuple[int, int, int],
        control: int,
        *,
        tty: bool = False,
        detached: bool = False,
    ) -> None:
        order = {
            "argv": list(argv),
            "environment": dict(environment),
            "detached": detached,
            "files": [(str(source), target) for source, target in guest.files()],
            "hostname": guest.hostname(),
            "tty": tty,
        }
        with ExitStack() as stack:
            # A socket's message is too small for a long command line.
            payload = os.memfd_create("order")
            stack.callback(os.close, payload)
            os.write(payload, json.dumps(order).encode())
            os.lseek(payload, 0, os.SEEK_SET)
            namespace = netns.open_fd(guest.instance_id)
            stack.callback(os.close, namespace)
            fds = [payload, namespace, *stdio, control]
            try:
                with self._lock:
                    socket.send_fds(self._orders, [b"!"], fds)
            except OSError as error:
                raise UnavailableError(
                    f"the agent can start no more processes in VMs: {error}",
                    hint="in the host: s6-svc -r /run/services/fakevm-agent",
                ) from error


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
