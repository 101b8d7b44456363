"""Programs in containers by the engine's socket."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from fakevm.clients.engine_socket import ExecStream
from fakevm.clients.process import ProcessStream, inside


class ExecEngine:
    """An engine that runs a container's programs on this machine."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.asked: list[tuple[str, Any]] = []
        self.refusals: dict[str, tuple[int, str]] = {}
        self.begins = threading.Event()
        self.begins.set()
        self.hangs_up = False
        self.started: list[subprocess.Popen[bytes]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for child in self.started:
            child.kill()
            child.wait()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as lines:
            while first := lines.readline().split():
                headers = dict(
                    line.decode().strip().lower().split(": ", 1)
                    for line in iter(lines.readline, b"\r\n")
                )
                target = first[1].decode()
                body = json.loads(lines.read(int(headers["content-length"])))
                self.asked.append((target, body))
                if self.hangs_up:
                    return
                kind = target.rpartition("/")[2]
                if kind in self.refusals:
                    status, said = self.refusals[kind]
                    self._say(connection, status, {"message": said})
                elif kind == "exec":
                    self._argv = body["Cmd"]
                    self._say(connection, 201, {"Id": "e1"})
                else:
                    assert headers["upgrade"] == "tcp"
                    self.begins.wait(10)
                    self._run(connection)
                    return

    def _say(self, connection: socket.socket, status: int, answer: object) -> None:
        content = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status} X\r\nApi-Version: 1.41\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content)

    def _run(self, connection: socket.socket) -> None:
        child = subprocess.Popen(
            self._argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self.started.append(child)
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        connection.sendall(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n")

        def feed() -> None:
            with suppress(OSError), child.stdin as stdin:  # type: ignore[union-attr]
                while data := connection.recv(65536):
                    stdin.write(data)

        threading.Thread(target=feed, daemon=True).start()
        for number, pipe in ((1, child.stdout), (2, child.stderr)):
            while data := pipe.read(65536):
                frame = bytes((number, 0, 0, 0)) + len(data).to_bytes(4, "big") + data
                # As it may arrive.
                connection.sendall(frame[:5])
                connection.sendall(frame[5:])
        child.wait()
        connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExecEngine]:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    with closing(ExecEngine(tmp_path / "engine.sock")) as engine:
        yield engine


@pytest.fixture
def start(engine: ExecEngine) -> Iterator[Callable[..., ExecStream]]:
    started: list[ExecStream] = []

    def run(*argv: str, **options: float) -> ExecStream:
        started.append(ExecStream(engine.path, "host", argv, **options))
        return started[-1]

    yield run
    for stream in started:
        stream.close()


Start = Callable[..., ExecStream]


def test_a_program_is_written_to_and_read(engine: ExecEngine, start: Start) -> None:
    stream = start("cat")
    data = bytes(range(256)) * 1024
    threading.Thread(target=stream.write, args=(data,)).start()
    said = b""
    while len(said) < len(data):
        said += stream.read()
    assert said == data
    attached = {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True}
    assert engine.asked == [
        ("/containers/host/exec", {**attached, "Cmd": ["cat"]}),
        ("/exec/e1/start", {"Tty": False}),
    ]


def test_hanging_up_closes_its_stdin(engine: ExecEngine, start: Start) -> None:
    stream = start("cat")
    stream.write(b"x")
    assert stream.read() == b"x"
    reader = threading.Thread(target=lambda: [None for _ in iter(stream.read, b"")])
    reader.start()
    stream.close()
    reader.join(10)
    assert not reader.is_alive()
    assert engine.started[0].wait(10) == 0
    assert stream.read() == b""
    assert stream.readable(10)
    with pytest.raises(OSError, match=r"ended|Bad file"):
        stream.write(b"more")


def test_what_it_says_on_stderr_is_its_complaint(start: Start) -> None:
    stream = start("sh", "-c", "echo out; echo 'it is gone' >&2")
    assert stream.read() == b"out\n"
    assert stream.read() == b""
    assert stream.complaint == "it is gone"


@pytest.mark.parametrize("kind", ["exec", "start"])
def test_what_the_engine_refuses_is_the_complaint(
    engine: ExecEngine, start: Start, kind: str
) -> None:
    engine.refusals[kind] = (409, "Container host is paused, unpause it first")
    stream = start("cat")
    assert stream.readable(10)
    assert stream.read() == b""
    assert stream.complaint == "Container host is paused, unpause it first"
    with pytest.raises(BrokenPipeError):
        stream.write(b"x")


def test_a_wait_for_what_is_said_has_an_end(engine: ExecEngine, start: Start) -> None:
    engine.begins.clear()
    stream = start("sh", "-c", "read line; echo $line")
    before = time.monotonic()
    assert not stream.readable(0.1)
    engine.begins.set()
    assert not stream.readable(0.1)
    assert time.monotonic() - before < 5
    stream.write(b"here\n")
    assert stream.readable(10)
    assert stream.read() == b"here\n"
    assert stream.readable(10), "its end"


def test_an_engine_that_does_not_start_it_is_given_up(engine: ExecEngine, start: Start) -> None:
    engine.begins.clear()
    stream = start("cat", answer_s=0.1)
    assert stream.read() == b""
    assert "timed out" in stream.complaint
    engine.begins.set()


def test_where_the_socket_is_not_the_way_the_docker_program_is(
    engine: ExecEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "docker").write_text('#!/bin/sh\necho "$*"\n')
    (tmp_path / "docker").chmod(0o755)
    with closing(inside("host", ("true",))) as stream:
        assert isinstance(stream, ExecStream)
    engine.hangs_up = True
    for host in (f"unix://{engine.path}", "unix:///nowhere.sock", "tcp://127.0.0.1:1"):
        monkeypatch.setenv("DOCKER_HOST", host)
        with closing(inside("host", ("true",))) as stream:
            assert isinstance(stream, ProcessStream)
            assert stream.read() == b"exec --interactive host true\n"
