"""The process that starts processes in VMs; the standard library only.

It is forked before the agent imports anything heavy and has one thread, so its forks are cheap and
safe. An order comes as one message with file descriptors: the order's JSON, the VM's netns, stdin,
stdout, stderr and a control socket.

 agent ─► spawner ─► runner ─► command       a runner lives as long as its command, and adopts
                                             whatever the command leaves behind

The runner writes {"exit_code": N} or {"error": "…"} to the control socket. When its other end is
shut down, or the agent is gone, the runner kills all that descends from it. Commands that are
started detached have no runner.
"""

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import socket
import sys
import termios
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from fakevm_agent.kernel import libc

_FDS = 6
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
        message, fds, _, _ = socket.recv_fds(orders, 1, _FDS)
        if not message:
            return
        for fd in fds:
            os.set_inheritable(fd, False)
        try:
            if os.fork() == 0:
                orders.close()
                _obey(fds)
        except OSError as error:
            os.write(fds[-1], json.dumps({"error": f"fork: {error}"}).encode())
        finally:
            for fd in fds:
                os.close(fd)


def _obey(fds: list[int]) -> NoReturn:
    """Be the runner, or the detached command itself."""
    payload, namespace, stdin, stdout, stderr, control = fds
    try:
        with os.fdopen(payload, "rb") as file:
            order = json.load(file)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # By the runner: what is mounted goes at its end, which nobody waits for.
        _enter(order, namespace)
        if order["detached"]:
            _become(order, namespace, (stdin, stdout, stderr))
        os._exit(_run(order, namespace, (stdin, stdout, stderr), control))
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(control, json.dumps({"error": str(error)}).encode())
        os._exit(1)


def _run(order: Mapping[str, Any], namespace: int, stdio: tuple[int, ...], control: int) -> int:
    libc.become_subreaper()
    wake_up, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker)
    try:
        child = _start(order, namespace, stdio, control)
    except _RefusedError as error:
        code = _told(error, stdio[2])
    else:
        for fd in {namespace, *stdio}:
            os.close(fd)
        code = os.waitstatus_to_exitcode(_wait(child, wake_up, control))
    with contextlib.suppress(OSError):
        os.write(control, json.dumps({"exit_code": code if code >= 0 else 128 - code}).encode())
    return 0


def _wait(child: int, wake_up: int, control: int) -> int:
    """Return the status that the command ends with, by itself or because nobody wants it more."""
    poll = select.poll()
    poll.register(wake_up, select.POLLIN)
    poll.register(control, select.POLLIN | select.POLLHUP)
    status = None
    while status is None:
        ready = [fd for fd, _ in poll.poll()]
        if control in ready:
            status = _kill_descendants(child)
        else:
            os.read(wake_up, 4096)
            status = _reap(child)
    return status


def _start(order: Mapping[str, Any], namespace: int, stdio: tuple[int, ...], control: int) -> int:
    """Start the command inside the VM; return its PID. _RefusedError: there is none to start."""
    if order["tty"]:
        child = os.fork()
        if child == 0:
            try:
                _become(order, namespace, stdio)
            except BaseException as error:
                os.write(control, json.dumps({"error": str(error)}).encode())
                os._exit(1)
        return child
    # Without a copy of our memory, which costs more than all that the command needs. For that we
    # are in the VM's network ourselves for a moment; as one of its processes we'd end with it.
    os.chdir("/")
    with _in_network(namespace):
        return _spawn(order["argv"], order["environment"], stdio)


def _spawn(argv: list[str], environment: Mapping[str, str], stdio: tuple[int, ...]) -> int:
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


def _reap(child: int) -> int | None:
    """Reap all that ended; return the status of `child` if it is among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                found = status
    return found


def _kill_descendants(child: int) -> int:
    """Kill until no descendant is left; return the status of `child`."""
    found = signal.SIGKILL.value
    with contextlib.suppress(ChildProcessError):
        while True:
            # What forks meanwhile is caught in the next round: orphans become our children.
            for pid in _descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            pid, status = os.waitpid(-1, 0)
            if pid == child:
                found = status
    return found


def _descendants(ancestor: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 (pathlib would double the time)
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = Path("/proc", entry, "stat").read_bytes()
                # The command stands in parentheses and may itself hold any character.
                parent = int(stat.rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    ancestors = [ancestor]
    while ancestors:
        below = children.get(ancestors.pop(), [])
        found += below
        ancestors += below
    return found


def _become(order: Mapping[str, Any], namespace: int, stdio: tuple[int, ...]) -> NoReturn:
    """Become the command, inside the VM."""
    os.setsid()
    if order["tty"]:
        fcntl.ioctl(stdio[0], termios.TIOCSCTTY, 0)
    libc.setns(namespace, libc.CLONE_NEWNET)
    for target, fd in enumerate(stdio):
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


def _enter(order: Mapping[str, Any], namespace: int) -> None:
    """Enter the VM but for its network: its name, its devices, its own files over the host's."""
    libc.unshare(libc.CLONE_NEWNS | libc.CLONE_NEWUTS)
    # What is unmounted in the host goes here too, but nothing goes from here to the host.
    libc.mount("", "/", "none", libc.MS_SLAVE | libc.MS_REC)
    # sysfs shows the devices of the namespace that it is mounted from.
    with _in_network(namespace):
        with contextlib.suppress(OSError):
            libc.unmount("/sys")
        libc.mount("sysfs", "/sys", "sysfs")
    for source, target in order["files"]:
        if Path(target).exists():
            libc.mount(source, target, "none", libc.MS_BIND)
    socket.sethostname(order["hostname"])
