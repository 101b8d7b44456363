"""The engine's API by its socket, with the standard library: what is asked before all else.

The docker program takes longer to start than the engine to answer, http.client to be imported.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from select import select
from typing import Any

# Where the engine listens, if nobody says otherwise.
_SOCKET = "/var/run/docker.sock"

# How long the engine may take to start a program: as long as others have for an answer.
ANSWER_S = 60.0

_READ = 1 << 18

# Of a stream that is both of a program's (the API's "attach to a container"): a byte that says
# which, three of nothing, four of the length of what follows.
_HEAD = 8
_STDERR = 2


def path() -> str:
    """Return the socket that the docker program would use; "": it would go another way."""
    host = os.environ.get("DOCKER_HOST", "")
    if host:
        return host.removeprefix("unix://") if host.startswith("unix://") else ""
    context = os.environ.get("DOCKER_CONTEXT") or _current_context()
    return _SOCKET if context in ("", "default") else ""


def get(path: str, target: str, *, timeout_s: float) -> Any:
    """Return the JSON that the engine answers to a GET. OSError, ValueError: it does not."""
    with _connected(path, timeout_s) as connection:
        return got(connection, target)


def got(connection: socket.socket, target: str) -> Any:
    """Return the JSON that is answered to a GET. OSError, ValueError: none is."""
    connection.sendall(question(target))
    return content(b"".join(iter(lambda: connection.recv(_READ), b"")))


def question(target: str) -> bytes:
    """Return a GET: in HTTP 1.0 the answer is whole, and its end is the connection's."""
    return f"GET {target} HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\r\n".encode()


def content(answer: bytes) -> Any:
    """Return the JSON of a whole answer. ValueError: it is none, or a refusal."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.split()[1:2] != [b"200"]:
        raise ValueError(body.decode(errors="replace").strip() or "no answer")
    return json.loads(body)


class ExecStream:
    """A program in a container, with its stdin and stdout, and what it says on stderr.

    It is started meanwhile, and who first reads or writes waits for that.
    """

    def __init__(
        self, path: str, container: str, argv: Sequence[str], *, answer_s: float = ANSWER_S
    ) -> None:
        """OSError, where the engine can't be asked."""
        self._rest = b""
        self._out = b""
        self._err = b""
        self._ended = False
        self._starting = threading.Lock()
        self._started = False
        self._connection = _connected(path, answer_s)
        try:
            self._start(container, argv)
        except (OSError, ValueError, LookupError) as error:
            self._connection.close()
            raise OSError(f"{path}: {error}") from error

    def _start(self, container: str, argv: Sequence[str]) -> None:
        attached = dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr"), True)
        self._send(f"/containers/{container}/exec", {**attached, "Cmd": list(argv)})
        status, answer = self._answer()
        if status != 201:
            self._refused(answer)
            return
        upgrade = ("Connection: Upgrade", "Upgrade: tcp")
        self._send(f"/exec/{json.loads(answer)['Id']}/start", {"Tty": False}, *upgrade)

    @property
    def complaint(self) -> str:
        """What it has said on stderr, or the engine of it; waits for its end."""
        while self._more():
            pass
        return self._err.decode(errors="replace").strip()

    def read(self) -> bytes:
        """Return what came next; b"" at the end."""
        while not self._out and self._more():
            pass
        out, self._out = self._out, b""
        return out

    def readable(self, timeout_s: float) -> bool:
        """Wait for what comes next, so long at most; tell whether it is there, or the end."""
        end = time.monotonic() + timeout_s
        while not (self._out or self._ended):
            try:
                if not select([self._connection], [], [], max(0.0, end - time.monotonic()))[0]:
                    return False
            except (OSError, ValueError):
                # Another thread has hung up.
                self._ended = True
            self._more()
        return True

    def write(self, data: bytes) -> None:
        """Send all of the data; BrokenPipeError: there is nobody any more."""
        self._wait_until_started()
        if self._ended:
            raise BrokenPipeError("it has ended")
        self._connection.sendall(data)

    def close(self) -> None:
        """Hang up, which closes the program's stdin, too; who reads sees the end."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _more(self) -> bool:
        """Wait for more, from whichever it is, or for its start; return False at the end."""
        if not (self._ended or self._wait_until_started()):
            data = b""
            # Another thread may have hung up.
            with suppress(OSError, ValueError):
                data = self._connection.recv(_READ)
            self._ended = not data
            self._rest += data
        self._sort()
        return not self._ended

    def _sort(self) -> None:
        """Take apart what has come whole: what it says, and what it says on stderr."""
        said: list[bytes] = []
        start = 0
        while len(self._rest) - start >= _HEAD:
            first = start + _HEAD
            end = first + int.from_bytes(self._rest[first - 4 : first], "big")
            if len(self._rest) < end:
                break
            if self._rest[start] == _STDERR:
                self._err += self._rest[first:end]
            else:
                said.append(self._rest[first:end])
            start = end
        self._rest = self._rest[start:]
        self._out += b"".join(said)

    def _wait_until_started(self) -> bool:
        """Wait for the engine's answer, if that is still to come; tell whether it was."""
        with self._starting:
            if self._started:
                return False
            self._started = True
            try:
                status, answer = self._answer()
                self._connection.settimeout(None)
            except (OSError, ValueError) as error:
                self._refused(b"", str(error))
            else:
                if status not in (101, 200):
                    self._refused(answer)
            return True

    def _refused(self, answer: bytes, said: str = "") -> None:
        """Note that nothing was started, and what the engine says."""
        with suppress(ValueError, LookupError, TypeError):
            said = json.loads(answer)["message"]
        self._err = said.encode()
        self._started = self._ended = True

    def _send(self, target: str, body: Mapping[str, Any], *headers: str) -> None:
        content = json.dumps(body).encode()
        lines = (
            f"POST {target} HTTP/1.1",
            *("Host: localhost", "Content-Type: application/json", *headers),
            f"Content-Length: {len(content)}",
        )
        self._connection.sendall("\r\n".join((*lines, "", "")).encode() + content)

    def _answer(self) -> tuple[int, bytes]:
        """Return an answer's status and its content, if its length is told."""
        while b"\r\n\r\n" not in self._rest:
            self._receive()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *fields = head.decode("latin-1").split("\r\n")
        told = dict(line.lower().split(": ", 1) for line in fields if ": " in line)
        length = int(told.get("content-length", 0))
        while len(self._rest) < length:
            self._receive()
        content, self._rest = self._rest[:length], self._rest[length:]
        return int(first.split()[1]), content

    def _receive(self) -> None:
        data = self._connection.recv(_READ)
        if not data:
            raise ConnectionResetError("the engine hung up")
        self._rest += data


def _connected(path: str, timeout_s: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _current_context() -> str:
    try:
        folder = os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker"
        return str(json.loads(Path(folder, "config.json").read_bytes()).get("currentContext") or "")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, AttributeError, RuntimeError):
        return "?"
