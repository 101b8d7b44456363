"""Requests to the hosts' agents: JSON-RPC 2.0, one message a line, many in flight on one stream."""

from __future__ import annotations

import base64
import itertools
import json
import queue
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Protocol

from fakevm.errors import BY_NAME, FakevmError, UnavailableError
from fakevm.model import FixedIp, HostInfo, PluggedVif, Vif, Vm

# For what an agent does by itself, on a busy machine.
TIMEOUT_S = 60.0

# Pieces of output of a command that wait for their reader; see Agent._make_room.
BACKLOG = 256

_Item = tuple[Literal["result", "error", "output"], Any]


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


@dataclass(frozen=True, kw_only=True)
class Plugged:
    """A VIF after a plug, and whether the plug had anything to do."""

    vif: PluggedVif
    changed: bool


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Something that a cleanup removed, or would."""

    kind: str
    name: str
    port_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """The user's terminal."""

    rows: int
    cols: int
    term: str


class Agent:
    """One host's agent. Any thread may ask; a stream that ended fails all that wait.

    `explain` is called when it ended by itself, and may raise an error that says more.
    """

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
        self._timeout_s = timeout_s
        self._explain = explain
        self._ids = itertools.count(1)
        # Of what stands in the next lines; notified when the reader may go on.
        self._changed = threading.Condition()
        # Another one: a write may block until the reader, which needs the first, has made room.
        self._writing = threading.Lock()
        self._waiting: dict[int, queue.Queue[_Item]] = {}
        self._lost: FakevmError | None = None
        self._closed = False
        threading.Thread(target=self._read, name=f"agent-{host}", daemon=True).start()

    @property
    def lost(self) -> bool:
        """Whether the stream has ended, so that another one is needed."""
        return self._lost is not None

    def info(self) -> HostInfo:
        """Return what the host says of itself."""
        return HostInfo(**_known(HostInfo, self.request("info", {})))

    def vifs(self, port_id: str | None = None) -> list[PluggedVif]:
        """Return what is plugged, all of it or one port's."""
        params = {} if port_id is None else {"port_id": port_id}
        return [plugged_vif(found) for found in self.request("list", params)["vifs"]]

    def plug(self, vif: Vif, vm: Vm, *, paused: bool = False) -> Plugged:
        """Plug a VIF; paused, its NIC stays down and without addresses."""
        params = {"vif": asdict(vif), "vm": asdict(vm)}
        answer = self.request("plug", {**params, "paused": True} if paused else params)
        return Plugged(vif=plugged_vif(answer), changed=answer["changed"])

    def resume(self, port_id: str, addresses: Sequence[str]) -> PluggedVif:
        """Set a paused NIC up, with these addresses."""
        params = {"port_id": port_id, "addresses": list(addresses)}
        return plugged_vif(self.request("resume", params))

    def configure(self, port_id: str, *, timeout_s: float) -> tuple[str, ...]:
        """Start the NIC's clients, wait for the addresses that Neutron gave, return all it has."""
        params = {"port_id": port_id, "timeout_s": timeout_s}
        answer = self.request("configure", params, timeout_s=timeout_s + self._timeout_s)
        return tuple(answer["addresses"])

    def unplug(self, port_id: str) -> bool:
        """Unplug a port; return whether it was there."""
        return bool(self.request("unplug", {"port_id": port_id})["changed"])

    def left_over(self, keep: Collection[str]) -> list[Removed]:
        """Return what the host has of other ports than these."""
        params = {"keep": sorted(keep), "dry_run": True}
        return [Removed(**found) for found in self.request("cleanup", params)["removed"]]

    def clean_up(self, keep: Collection[str], *, only: Collection[str]) -> list[Removed]:
        """Remove what the host has of these ports alone, and what no port has."""
        params = {"keep": sorted(keep), "only": sorted(only), "dry_run": False}
        return [Removed(**found) for found in self.request("cleanup", params)["removed"]]

    def execute(
        self,
        port_id: str,
        argv: Sequence[str],
        *,
        timeout_s: float | None = None,
        terminal: Terminal | None = None,
        stdin: bool = False,
    ) -> Execution:
        """Start a command in the VM that has a port."""
        params = {
            "port_id": port_id,
            "argv": list(argv),
            "timeout_s": timeout_s,
            "tty": asdict(terminal) if terminal else None,
            "stdin": stdin,
        }
        return Execution(self, *self._start("exec", params))

    def request(
        self, method: str, params: Mapping[str, Any], *, timeout_s: float | None = None
    ) -> Any:
        """Send a request and return its result.

        Raises the agent's own error, or UnavailableError where no answer comes in time.
        """
        patience = self._timeout_s if timeout_s is None else timeout_s
        request_id, answers = self._start(method, params)
        try:
            return _result(answers.get(timeout=patience))
        except queue.Empty:
            raise UnavailableError(
                f"{self.host}: the agent has not answered `{method}` within {patience:g} s",
                hint="fakevm status",
            ) from None
        finally:
            self.forget(request_id)

    def notify(self, method: str, params: Mapping[str, Any]) -> None:
        """Send what has no answer."""
        self._write({"jsonrpc": "2.0", "method": method, "params": params})

    def forget(self, request_id: int) -> None:
        """Drop what still comes for a request."""
        with self._changed:
            self._waiting.pop(request_id, None)
            self._changed.notify_all()

    def next_of(self, answers: queue.Queue[_Item]) -> _Item:
        """Wait for what comes next of a command."""
        item = answers.get()
        with self._changed:
            self._changed.notify_all()
        return item

    def close(self) -> None:
        """Hang up; commands that were started here end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._stream.close()

    def _start(self, method: str, params: Mapping[str, Any]) -> tuple[int, queue.Queue[_Item]]:
        request_id = next(self._ids)
        # Without a bound, so that an answer or the end can always be told.
        answers: queue.Queue[_Item] = queue.Queue()
        with self._changed:
            if self._lost:
                raise self._lost
            self._waiting[request_id] = answers
            self._changed.notify_all()
        self._write({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        return request_id, answers

    def _write(self, message: Mapping[str, Any]) -> None:
        line = json.dumps(message, ensure_ascii=False).encode() + b"\n"
        try:
            with self._writing:
                self._stream.write(line)
        except OSError as error:
            raise self._lost or self._ended() from error

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
            item: _Item = ("output", (params["stream"], base64.b64decode(params["data"])))
            with self._changed:
                if answers := self._make_room(params["id"]):
                    answers.put(item)
            return
        if "error" in message:
            item = ("error", _error(self.host, message["error"]))
        else:
            item = ("result", message["result"])
        with self._changed:
            if answers := self._waiting.pop(message["id"], None):
                answers.put(item)

    def _make_room(self, request_id: int) -> queue.Queue[_Item] | None:
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
        words = ": ".join(filter(None, ("the connection to the agent ended", told)))
        return UnavailableError(f"{self.host}: {words}", hint="fakevm status")


class Execution:
    """A command that runs in a VM. Leaving the `with` block ends it if it still runs."""

    def __init__(self, agent: Agent, request_id: int, answers: queue.Queue[_Item]) -> None:
        self._agent = agent
        self._id = request_id
        self._answers = answers
        self._running = True
        self.exit_code = -1

    def __enter__(self) -> Execution:
        return self

    def __exit__(self, *_: object) -> None:
        if self._running:
            with suppress(FakevmError):
                self.cancel()
        self._agent.forget(self._id)

    def output(self) -> Iterator[tuple[Literal["stdout", "stderr"], bytes]]:
        """Yield what the command says, as it comes, to its end; then `exit_code` is known."""
        while True:
            item = self._agent.next_of(self._answers)
            if item[0] == "output":
                yield item[1]
                continue
            self._running = False
            self.exit_code = int(_result(item)["exit_code"])
            return

    def send(self, data: bytes) -> None:
        """Write to the command's stdin; b"" closes it."""
        encoded = base64.b64encode(data).decode()
        self._agent.notify("exec.stdin", {"id": self._id, "data": encoded})

    def resize(self, rows: int, cols: int) -> None:
        """Tell the command the terminal's new size."""
        self._agent.notify("exec.resize", {"id": self._id, "rows": rows, "cols": cols})

    def cancel(self) -> None:
        """End the command and its children."""
        self._agent.notify("exec.cancel", {"id": self._id})


def plugged_vif(found: Mapping[str, Any]) -> PluggedVif:
    """Return the value of an agent's JSON object."""
    known = _known(PluggedVif, found)
    known["addresses"] = tuple(known.get("addresses") or ())
    known["fixed_ips"] = tuple(
        FixedIp(**_known(FixedIp, ip)) for ip in known.get("fixed_ips") or ()
    )
    return PluggedVif(**known)


def _known(cls: type[Any], found: Mapping[str, Any]) -> dict[str, Any]:
    # A host's image may be newer than this client, and say more.
    names = {field.name for field in fields(cls)}
    return {name: value for name, value in found.items() if name in names}


def _result(item: _Item) -> Any:
    kind, value = item
    if kind == "error":
        raise value
    return value


def _error(host: str, error: Mapping[str, Any]) -> FakevmError:
    data = error.get("data") or {}
    cls = BY_NAME.get(data.get("type", ""), FakevmError)
    return cls(f"{host}: {error['message']}", hint=data.get("hint", ""))
