"""JSON-RPC 2.0 from the client's side: one message a line, many in flight on one stream."""

from __future__ import annotations

import base64
import itertools
import json
import queue
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from typing import Any, Literal, NamedTuple, Protocol

from fakevm.errors import BY_NAME, FakevmError, UnavailableError

# For what who answers does by itself, on a busy machine.
TIMEOUT_S = 60.0

# Pieces of output of a command that wait for their reader; see Connection._make_room.
BACKLOG = 256

# What comes of a request: output of a command, any number, then a result or an error.
Item = tuple[Literal["result", "error", "output"], Any]


class Output(NamedTuple):
    """A piece of what a command says; `instance_id`: in which VM, where it runs in several."""

    stream: Literal["stdout", "stderr"]
    data: bytes
    instance_id: str


class Stream(Protocol):
    """What carries the messages; `read` returns b"" at the end."""

    def read(self) -> bytes:
        """Return what came next."""

    def write(self, data: bytes) -> None:
        """Send all of it."""

    def close(self) -> None:
        """Hang up; a reader sees the end."""

    @property
    def complaint(self) -> str:
        """Why it ended, as far as it is known."""


class Connection:
    """One stream to who answers. Any thread may ask; a stream that ended fails all that wait.

    `explain` is called when it ended by itself, and may raise an error that says more.
    """

    # Who answers, in an error's words.
    peer = "the service"

    def __init__(
        self,
        host: str,
        stream: Stream,
        *,
        timeout_s: float = TIMEOUT_S,
        explain: Callable[[], object] = lambda: None,
    ) -> None:
        self.host = host
        self._stream = stream
        self.timeout_s = timeout_s
        self._explain = explain
        self._ids = itertools.count(1)
        # Of what stands in the next lines; notified when the reader may go on.
        self._changed = threading.Condition()
        # Another one: a write may block until the reader, which needs the first, has made room.
        self._writing = threading.Lock()
        self._waiting: dict[int, queue.Queue[Item]] = {}
        self._lost: FakevmError | None = None
        self._closed = False
        threading.Thread(target=self._read, name=f"rpc-{host}", daemon=True).start()

    @property
    def lost(self) -> bool:
        """Whether the stream has ended, so that another one is needed."""
        return self._lost is not None

    def request(
        self, method: str, params: Mapping[str, Any], *, timeout_s: float | None = None
    ) -> Any:
        """Send a request and return its result.

        Raises the error that it is answered with, or UnavailableError if no answer comes in time.
        """
        patience = self.timeout_s if timeout_s is None else timeout_s
        request_id, answers = self.start(method, params)
        try:
            return result(answers.get(timeout=patience))
        except queue.Empty:
            raise UnavailableError(
                f"{self.host}: {self.peer} has not answered `{method}` within {patience:g} s",
                hint="fakevm status",
            ) from None
        finally:
            self.forget(request_id)

    def notify(
        self, method: str, params: Mapping[str, Any], *, within_s: float | None = None
    ) -> None:
        """Send what has no answer; where it can't be sent by then, hang up."""
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        self._write(message, within_s=within_s)

    def forget(self, request_id: int) -> None:
        """Drop what still comes for a request."""
        with self._changed:
            self._waiting.pop(request_id, None)
            self._changed.notify_all()

    def next_of(self, answers: queue.Queue[Item], *, timeout_s: float | None = None) -> Item:
        """Wait for what comes next of a command; UnavailableError: nothing does in time."""
        try:
            item = answers.get(timeout=timeout_s)
        except queue.Empty:
            raise UnavailableError(
                f"{self.host}: {self.peer} has not told in time how a command ended",
                hint="fakevm status",
            ) from None
        with self._changed:
            self._changed.notify_all()
        return item

    def close(self) -> None:
        """Hang up; commands that were started here end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._stream.close()

    def start(self, method: str, params: Mapping[str, Any]) -> tuple[int, queue.Queue[Item]]:
        """Send a request; return its number, and where its answers come. `forget` ends it."""
        request_id = next(self._ids)
        # Without a bound, so that an answer or the end can always be told.
        answers: queue.Queue[Item] = queue.Queue()
        with self._changed:
            if self._lost:
                raise self._lost
            self._waiting[request_id] = answers
            self._changed.notify_all()
        self._write({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        return request_id, answers

    def _write(self, message: Mapping[str, Any], *, within_s: float | None = None) -> None:
        line = json.dumps(message, ensure_ascii=False).encode() + b"\n"
        if not self._writing.acquire(timeout=-1 if within_s is None else within_s):
            self.close()
            raise self._ended()
        try:
            self._stream.write(line)
        except OSError as error:
            raise self._lost or self._ended() from error
        finally:
            self._writing.release()

    def _read(self) -> None:
        rest = b""
        try:
            while data := self._stream.read():
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if line.strip():
                        self._dispatch(json.loads(line))
        finally:
            lost = self._ended()
            with self._changed:
                self._lost = lost
                waiting = list(self._waiting.values())
            for answers in waiting:
                answers.put(("error", lost))

    def _dispatch(self, message: Mapping[str, Any]) -> None:
        if message.get("method") == "exec.output":
            params = message["params"]
            item: Item = (
                "output",
                Output(
                    stream=params["stream"],
                    data=base64.b64decode(params["data"]),
                    instance_id=params.get("instance_id", ""),
                ),
            )
            with self._changed:
                if answers := self._make_room(params["id"]):
                    answers.put(item)
            return
        if "error" in message:
            item = ("error", failure(self.host, message["error"]))
        else:
            item = ("result", message["result"])
        with self._changed:
            if answers := self._waiting.pop(message["id"], None):
                answers.put(item)

    def _make_room(self, request_id: int) -> queue.Queue[Item] | None:
        """Return where a command's output goes, once there is room; None if nobody wants it.

        While nothing else is under way the stream itself is held up, and so the command waits for
        its reader. Others must not wait for that reader: then the command is ended.
        """
        answers = self._waiting.get(request_id)
        if answers is None:
            return None
        self._changed.wait_for(
            lambda: answers.qsize() < BACKLOG or self._closed or set(self._waiting) != {request_id}
        )
        if request_id not in self._waiting:
            return None
        if answers.qsize() >= BACKLOG and not self._closed:
            del self._waiting[request_id]
            answers.put(
                ("error", FakevmError(f"{self.host}: a command was ended: its output is not read"))
            )
            # By another thread, since this one must read on for a write to get through.
            threading.Thread(target=self._cancel, args=(request_id,), daemon=True).start()
            return None
        return answers

    def _cancel(self, request_id: int) -> None:
        with suppress(FakevmError):
            self.notify("exec.cancel", {"id": request_id})

    def _ended(self) -> FakevmError:
        if not self._closed:
            try:
                self._explain()
            except FakevmError as error:
                return error
        # socat puts the date, its process and its place in the source before its words.
        told = re.sub(r"^.* socat\[\d+\] \w ", "", self._stream.complaint)
        words = ": ".join(filter(None, (f"the connection to {self.peer} ended", told)))
        return UnavailableError(f"{self.host}: {words}", hint="fakevm status")


def known(cls: type[Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a value has of a JSON object, whose sender may be newer and say more."""
    names = {field.name for field in fields(cls)}
    return {name: value for name, value in found.items() if name in names}


def result(item: Item) -> Any:
    """Return a result's value, or raise the error."""
    kind, value = item
    if kind == "error":
        raise value
    return value


def failure(host: str, error: Mapping[str, Any]) -> FakevmError:
    """Return the exception of an error's object."""
    data = error.get("data") or {}
    cls = BY_NAME.get(data.get("type", ""), FakevmError)
    return cls(f"{host}: {error['message']}", hint=data.get("hint", ""))
