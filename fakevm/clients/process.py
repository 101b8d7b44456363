"""Programs on this machine: the only module that starts any."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from fakevm.clients import engine_socket
from fakevm.clients.engine_socket import ANSWER_S, ExecStream
from fakevm.errors import FakevmError, UnavailableError, WaitTimeoutError
from fakevm.names import AGENT_SOCKET

if TYPE_CHECKING:
    from pathlib import Path


class ExitError(FakevmError):
    """A program ended with another exit code than 0, its `status`; `output` is what it said."""

    def __init__(self, argv: Sequence[str], exit_code: int, output: str) -> None:
        super().__init__(f"{shlex.join(argv)}: exit code {exit_code}\n{output}")
        self.status = exit_code
        self.output = output


def run(
    argv: Sequence[str],
    *,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float | None = None,
    on_wait: Callable[[], None] | None = None,
    wait_s: float = 0.5,
) -> str:
    """Run a program to its end and return its stdout; `on_wait` is called every `wait_s`."""
    child = _start(argv, env=env, cwd=cwd)
    left = float("inf") if timeout_s is None else timeout_s
    pending: str | None = stdin
    try:
        while True:
            try:
                stdout, stderr = child.communicate(pending, timeout=min(wait_s, max(left, 0)))
                break
            except subprocess.TimeoutExpired:
                pending = None
                left -= wait_s
                if left <= 0:
                    raise WaitTimeoutError(
                        f"{shlex.join(argv)} has not ended within {timeout_s} s"
                    ) from None
                if on_wait is not None:
                    on_wait()
    except BaseException:
        _stop(child)
        raise
    if child.returncode:
        raise ExitError(argv, child.returncode, (stderr.strip() or stdout.strip())[-4000:])
    return stdout


class ProcessStream:
    """A program's stdin and stdout, and what it says on stderr."""

    def __init__(self, argv: Sequence[str]) -> None:
        try:
            self._child = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                # A Ctrl-C of the terminal's is for us, who may still have something to undo.
                process_group=0,
            )
        except OSError as error:
            raise _missing(argv[0], error) from error

    @property
    def complaint(self) -> str:
        """What it has said on stderr; waits for its end."""
        assert self._child.stderr is not None
        return self._child.stderr.read().decode(errors="replace").strip()

    def read(self) -> bytes:
        """Return what came next; b"" at the end."""
        assert self._child.stdout is not None
        return os.read(self._child.stdout.fileno(), 65536)

    def readable(self, timeout_s: float) -> bool:
        """Wait for what comes next, so long at most; tell whether it is there, or the end."""
        assert self._child.stdout is not None
        return bool(select.select([self._child.stdout], [], [], max(0.0, timeout_s))[0])

    def write(self, data: bytes) -> None:
        """Send all of the data."""
        assert self._child.stdin is not None
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._child.stdin.fileno(), rest) :]

    def close(self) -> None:
        """End the program."""
        self._child.kill()
        self._child.wait()


# A program in a container, with its stdin and stdout.
Inside = ProcessStream | ExecStream


def connect(container: str, *, answer_s: float = ANSWER_S) -> Inside:
    """Open a stream to the agent in a container, or to nova-events."""
    return inside(container, ("socat", "-", f"UNIX-CONNECT:{AGENT_SOCKET}"), answer_s=answer_s)


def inside(container: str, argv: Sequence[str], *, answer_s: float = ANSWER_S) -> Inside:
    """Start a program in a container; when the stream is closed, so is the program's stdin.

    By the docker program, which knows the way to the engine by any context, ssh and TLS included,
    where the engine's socket is not the way.
    """
    if path := engine_socket.path():
        with suppress(OSError):
            return ExecStream(path, container, argv, answer_s=answer_s)
    return ProcessStream(("docker", "exec", "--interactive", container, *argv))


def containers(label: str, *, timeout_s: float) -> list[Mapping[str, Any]]:
    """Return the containers with a label, NAME or NAME=VALUE, as the engine's API lists them.

    WaitTimeoutError: not in time; UnavailableError: in words of the docker program's.
    """
    # {"label": [label]}; what stands in labels of ours needs no quoting.
    target = f"/containers/json?all=1&filters=%7B%22label%22%3A%5B%22{label}%22%5D%7D"
    found: list[Mapping[str, Any]] = _ask_engine(target, timeout_s=timeout_s)
    return found


def _ask_engine(target: str, *, timeout_s: float) -> Any:
    path = engine_socket.path()
    try:
        return engine_socket.get(path, target, timeout_s=timeout_s)
    except TimeoutError:
        raise WaitTimeoutError(f"{path} has not answered within {timeout_s:g} s") from None
    except (OSError, ValueError):
        # None, of another kind, or not ours: the program has the words for it.
        pass
    deadline = time.monotonic() + timeout_s
    with closing(ProcessStream(("docker", "system", "dial-stdio"))) as program:
        with suppress(OSError):
            program.write(engine_socket.question(target))
        answer = read(program, deadline)
        try:
            return engine_socket.content(answer)
        except ValueError as error:
            raise UnavailableError(program.complaint or str(error)) from error


def read(stream: Inside, deadline: float, *, until: bytes = b"") -> bytes:
    """Return what is said until its end, or until it says this; WaitTimeoutError."""
    text = b""
    while stream.readable(deadline - time.monotonic()):
        piece = stream.read()
        text += piece
        if not piece or (until and until in piece):
            return text
    raise WaitTimeoutError("no answer in time")


def replace(argv: Sequence[str]) -> NoReturn:
    """Become another program: its output, signals, terminal and exit code are then the user's."""
    try:
        os.execvp(argv[0], tuple(argv))
    except OSError as error:
        raise _missing(argv[0], error) from error


def _start(
    argv: Sequence[str], *, env: Mapping[str, str] | None, cwd: Path | None
) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A Ctrl-C of the terminal's is for us, and we end it in order.
            process_group=0,
        )
    except OSError as error:
        raise _missing(argv[0], error) from error


def _stop(child: subprocess.Popen[str]) -> None:
    for sign in (signal.SIGINT, signal.SIGKILL):
        # All of its group: `docker compose` leaves the work to a plugin.
        with suppress(ProcessLookupError):
            os.killpg(child.pid, sign)
        try:
            child.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            continue
        return


def _missing(program: str, error: OSError) -> UnavailableError:
    hint = "a checkout's `make docker` installs it" if program == "docker" else ""
    return UnavailableError(f"{program} can't be run: {error.strerror}", hint=hint)
