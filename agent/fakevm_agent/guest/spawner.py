"""The process that starts processes in VMs; the standard library only.

It is forked before the agent imports anything heavy and has one thread, so its forks are cheap and
safe. An order is a command for one VM or several. It comes as one message with file descriptors:
the order's JSON, and for each VM its netns, stdin, stdout, stderr and a control socket.

 agent ─► spawner ─► runner ─► commands      a runner lives as long as its commands, and adopts
                                             whatever they leave behind

The runner writes {"exit_code": N} or {"error": "…"} to a command's control socket. When its other
end is shut down, or the agent is gone, the runner kills all that descends from the command.
Commands that are started detached have no runner.
"""

import contextlib
import errno
import fcntl
import functools
import json
import os
import select
import signal
import socket
import sys
import termios
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from fakevm_agent.kernel import libc

# How many VMs an order has at most: a message carries 253 descriptors (unix(7), SCM_RIGHTS).
AT_ONCE = 50

# Of each VM.
_FDS = 5
# How long what is killed may take before others are looked for, in seconds.
_PATIENCE = 0.02

_NOT_EXECUTABLE = 126
_NOT_FOUND = 127


def start(listener: socket.socket | None) -> tuple[int, socket.socket]:
    """Fork the spawner, without the `listener`; return its PID and the socket that takes orders."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        its.close()
        return pid, ours
    ours.close()
    if listener:
        listener.close()
    try:
        _serve(its)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _serve(orders: socket.socket) -> None:
    # The agent decides when it ends: then the socket is closed.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Children are reaped by the kernel.
    while True:
        message, fds, _, _ = socket.recv_fds(orders, 1, 1 + _FDS * AT_ONCE)
        if not message:
            return
        for fd in fds:
            os.set_inheritable(fd, False)
        try:
            if os.fork() == 0:
                orders.close()
                _obey(fds)
        except OSError as error:
            for control in fds[_FDS::_FDS]:
                _tell(control, error=f"fork: {error}")
        finally:
            for fd in fds:
                os.close(fd)


def _obey(fds: list[int]) -> NoReturn:
    """Be the runner, or the detached command itself."""
    payload, *others = fds
    try:
        with os.fdopen(payload, "rb") as file:
            order = json.load(file)
        starts = range(0, len(others), _FDS)
        commands = [
            _Command(vm, others[start : start + _FDS])
            for vm, start in zip(order["vms"], starts, strict=True)
        ]
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if order["detached"]:
            (command,) = commands
            _enter(command)
            _become(order, command)
        _Runner(order, commands).run()
        os._exit(0)
    except BaseException as error:
        for control in others[_FDS - 1 :: _FDS]:
            _tell(control, error=str(error))
        os._exit(1)


class _Command:
    """The command of one VM."""

    def __init__(self, vm: Mapping[str, Any], fds: list[int]) -> None:
        self.hostname: str = vm["hostname"]
        self.files: list[tuple[str, str]] = vm["files"]
        self.network, *self.stdio, self.control = fds
        found = os.fstat(self.network)
        # What tells the VM's network namespace from all others.
        self.identity = found.st_dev, found.st_ino
        self.wanted = True
        self.child = 0
        self.code: int | None = None


class _Runner:
    """Runs the commands of one order, each of another VM."""

    def __init__(self, order: Mapping[str, Any], commands: list[_Command]) -> None:
        self._order = order
        self._commands = commands
        self._running: dict[int, _Command] = {}
        self._wake_up, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker)
        # A mount namespace takes longer to go than a command to run: its last process would have
        # ended only then. These keep them until our own end, which nobody waits for.
        self._kept: list[int] = []

    def run(self) -> None:
        """Start them all, and wait until they have ended, or nobody wants them any more."""
        libc.become_subreaper()
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        for command in self._commands:
            libc.setns(own, libc.CLONE_NEWNS)
            self._begin(command)
        while self._running:
            self._wait()

    def _begin(self, command: _Command) -> None:
        try:
            # By us and not by the command: so all of it has one mount namespace.
            _enter(command)
            self._kept.append(os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))
            command.child = _start(self._order, command)
            self._running[command.child] = command
        except _RefusedError as error:
            command.code = _told(error, command.stdio[2])
            _end(command)
        except OSError as error:
            _tell(command.control, error=str(error))
            os.close(command.control)
        finally:
            for fd in {command.network, *command.stdio}:
                os.close(fd)

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._wake_up, select.POLLIN)
        for command in self._running.values():
            poll.register(command.control, select.POLLIN | select.POLLHUP)
        ready = {fd for fd, _ in poll.poll()}
        self._reap()
        unwanted = [found for found in self._running.values() if found.control in ready]
        if unwanted:
            self._kill(unwanted)

    def _reap(self) -> None:
        """Reap all that ended, and tell of the commands among them that are wanted."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_up, 4096)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                command = self._running.pop(ended[0], None)
                if command:
                    command.code = os.waitstatus_to_exitcode(ended[1])
                    if command.wanted:
                        _end(command)

    def _kill(self, unwanted: list[_Command]) -> None:
        """Kill until nothing is left that descends from these commands; only then tell of them."""
        for command in unwanted:
            command.wanted = False
        while pids := self._left_of_unwanted():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            # What forks meanwhile is caught in the next round: orphans become our children.
            select.select([self._wake_up], [], [], _PATIENCE)
            self._reap()
        # The last of them may stand there still, as zombies of ours.
        self._reap()
        for command in unwanted:
            self._running.pop(command.child, None)
            _end(command)

    def _left_of_unwanted(self) -> list[int]:
        """Return what descends from us but for what is another command's.

        That is what descends from it, or is in its VM: no VM has two commands of an order.
        """
        others = [command for command in self._commands if command.wanted]
        children = {command.child for command in others if command.code is None}
        networks = {command.identity for command in others}
        found = _descendants(os.getpid(), but=children)
        return [pid for pid in found if not networks or _network_of(pid) not in networks]


def _network_of(pid: int) -> tuple[int, int] | None:
    """Return the identity of a process's network namespace; None: it has ended."""
    try:
        found = os.stat(f"/proc/{pid}/ns/net")  # noqa: PTH116 (pathlib would double the time)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _tell(control: int, **answer: object) -> None:
    # Nobody may want to hear it any more.
    with contextlib.suppress(OSError):
        os.write(control, json.dumps(answer).encode())


def _end(command: _Command) -> None:
    """Tell a command's exit code, and that no more is told of it."""
    code = -signal.SIGKILL if command.code is None else command.code
    _tell(command.control, exit_code=code if code >= 0 else 128 - code)
    os.close(command.control)


def _start(order: Mapping[str, Any], command: _Command) -> int:
    """Start the command inside the VM; return its PID. _RefusedError: there is none to start."""
    if order["tty"]:
        child = os.fork()
        if child == 0:
            try:
                _become(order, command)
            except BaseException as error:
                _tell(command.control, error=str(error))
                os._exit(1)
        return child
    # Without a copy of our memory, which costs more than all that the command needs. For that we
    # are in the VM's network ourselves for a moment; as one of its processes we'd end with it.
    os.chdir("/")
    with _in_network(command.network):
        return _spawn(order["argv"], order["environment"], command.stdio)


def _spawn(argv: list[str], environment: Mapping[str, str], stdio: Sequence[int]) -> int:
    """Start a program by its name, as os.execvpe() finds it."""
    name = argv[0]
    paths = [name]
    if "/" not in name:
        found = [f"{folder}/{name}" for folder in os.get_exec_path(environment)]
        paths = [path for path in found if os.path.lexists(path)] or found[:1]
    failure: OSError | None = None
    for path in paths:
        try:
            return os.posix_spawn(
                path,
                argv,
                environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, to) for to, fd in enumerate(stdio)],
                setsid=True,
                setsigdef=_ignored(),
            )
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ENOMEM):
                raise
            failure = failure or error
    assert failure
    raise _RefusedError(name, failure)


class _RefusedError(Exception):
    """There is no such command, or it can't run: as a shell says it, with its exit code."""

    def __init__(self, name: str, error: OSError) -> None:
        self.code = _NOT_FOUND if error.errno == errno.ENOENT else _NOT_EXECUTABLE
        missing = self.code == _NOT_FOUND
        reason = "command not found" if missing else os.strerror(error.errno or 0)
        super().__init__(f"{name}: {reason}")


def _told(error: _RefusedError, stderr: int) -> int:
    """Say why there is no command; return the exit code."""
    with contextlib.suppress(OSError):
        os.write(stderr, f"{error}\n".encode())
    return error.code


@functools.cache
def _ignored() -> list[int]:
    """Return what stays ignored in a command: Python ignores some, and whoever started it may."""
    return [one for one in signal.valid_signals() if signal.getsignal(one) is signal.SIG_IGN]


@contextlib.contextmanager
def _in_network(namespace: int) -> Iterator[None]:
    """Run the block in another network namespace."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    libc.setns(namespace, libc.CLONE_NEWNET)
    try:
        yield
    finally:
        libc.setns(own, libc.CLONE_NEWNET)
        os.close(own)


def _descendants(ancestor: int, *, but: Collection[int]) -> list[int]:
    """Return what runs and descends from a process, but for these and what descends from them."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 (pathlib would double the time)
        if entry.isdigit() and int(entry) not in but:
            with contextlib.suppress(OSError):
                stat = Path("/proc", entry, "stat").read_bytes()
                # The command stands in parentheses and may itself hold any character.
                fields = stat.rpartition(b")")[2].split()
                state, parent, threads = fields[0], int(fields[1]), int(fields[17])
                # Where its first thread alone has ended, the others go on.
                if state not in (b"Z", b"X") or threads > 1:
                    children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    ancestors = [ancestor]
    while ancestors:
        below = children.get(ancestors.pop(), [])
        found += below
        ancestors += below
    return found


def _become(order: Mapping[str, Any], command: _Command) -> NoReturn:
    """Become the command, inside the VM."""
    os.setsid()
    if order["tty"]:
        fcntl.ioctl(command.stdio[0], termios.TIOCSCTTY, 0)
    libc.setns(command.network, libc.CLONE_NEWNET)
    for target, fd in enumerate(command.stdio):
        os.dup2(fd, target)
    signal.set_wakeup_fd(-1)
    for number in _ignored():
        signal.signal(number, signal.SIG_DFL)
    os.chdir("/")
    argv = order["argv"]
    try:
        os.execvpe(argv[0], argv, order["environment"])
    except OSError as error:
        os._exit(_told(_RefusedError(argv[0], error), sys.stderr.fileno()))


def _enter(command: _Command) -> None:
    """Enter the VM but for its network: its name, its devices, its own files over the host's."""
    libc.unshare(libc.CLONE_NEWNS | libc.CLONE_NEWUTS)
    # What is unmounted in the host goes here too, but nothing goes from here to the host.
    libc.mount("", "/", "none", libc.MS_SLAVE | libc.MS_REC)
    # sysfs shows the devices of the namespace that it is mounted from.
    with _in_network(command.network):
        with contextlib.suppress(OSError):
            libc.unmount("/sys")
        libc.mount("sysfs", "/sys", "sysfs")
    for source, target in command.files:
        if os.path.exists(target):  # noqa: PTH110 (pathlib would double the time)
            libc.mount(source, target, "none", libc.MS_BIND)
    socket.sethostname(command.hostname)
