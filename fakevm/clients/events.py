"""What Neutron tells Nova, as the lab's nova-events keeps it, and waiting for it as Nova does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from fakevm.clients.rpc import Connection, known
from fakevm.errors import FakevmError, UnavailableError, WaitTimeoutError
from fakevm.model import Entry, Server, Vm
from fakevm.names import PROJECT

__all__ = ["Choice", "Entry", "Events", "WaitEnd", "Waiter", "cursor_at"]

# How a wait for events ended: they came; one said "failed", or did not come in time, which was not
# fatal; nobody waited.
WaitEnd = Literal["event", "failed", "timeout", "nobody"]

# The longest that is waited in one request.
_POLL_S = 20.0

# How long the service may be away that was there before: its container may be restarting.
_AWAY_S = 10.0
_AWAY_INTERVAL_S = 0.2

# The shortest look at a host.
_LOOK_S = 0.1

# What an event was answered with that nobody got.
_REFUSALS = {400: "without a tag", 404: "no such server", 422: "the server is on no host"}


class EventFailedError(FakevmError):
    """Neutron says that what was waited for has failed."""


class Look(Protocol):
    """Waits until a port's VIF is wired on a host; tells whether it was in time."""

    def __call__(self, host: str, port_id: str, *, within_s: float) -> bool:
        """Look there."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The entries of a port, and those of its instance as a whole."""

    # A UUID or its beginning, since the port may be gone.
    port_id: str
    instance_ids: frozenset[str]

    def has(self, entry: Entry) -> bool:
        """Tell whether an entry is one of them."""
        if entry.port_id:
            return entry.port_id.startswith(self.port_id)
        return entry.instance_id in self.instance_ids


class Events:
    """The lab's nova-events. Any thread may ask; a connection that was lost is made anew."""

    def __init__(self, connect: Callable[[], Connection], *, look: Look | None = None) -> None:
        """`look`: waits until a VIF is wired, where Neutron tells nobody here that it is."""
        self._connect = connect
        self._look = look
        self._connection: Connection | None = None
        self._connecting = threading.Lock()
        # Since it answered once, it is worth waiting for.
        self._answered = False
        # A service that restarts has forgotten them.
        self._registered: dict[str, dict[str, Any]] = {}
        # Something was sent of which it is not known yet whether it arrived.
        self._pending = False

    def register(self, instance_id: str, **told: Any) -> None:
        """Let Nova know a server, by fields of `Server`; what is not named stays as it is.

        The events of a server that it does not know, or that is on no host, are refused.
        """
        if told.get("project_id") == PROJECT:
            # The only one without Keystone, which need not be told.
            del told["project_id"]
        self._request("register", {"instance_id": instance_id, **told})
        self._registered.setdefault(instance_id, {}).update(told)

    def register_vm(self, vm: Vm, **told: Any) -> None:
        """Let Nova know a VM by its name and whose it is, too."""
        self.register(vm.instance_id, name=vm.name, project_id=vm.project_id, **told)

    def server(self, instance_id: str) -> Server:
        """Return what is known of a server; of one that is not known, nothing."""
        (server,) = self.servers([instance_id])
        return server

    def servers(self, instance_ids: Collection[str]) -> list[Server]:
        """Return what is known of servers, in their order."""
        wanted = list(instance_ids)
        told = self._request("servers", {"instance_ids": wanted})["servers"]
        return [_server(instance_id, told.get(instance_id, {})) for instance_id in wanted]

    def record(
        self,
        name: str,
        status: str,
        *,
        source: str,
        instance_id: str,
        port_id: str = "",
        operation: str = "",
    ) -> None:
        """Note a step of ours among the events; nothing is waited for.

        status is started, done, failed or undone; source the step's actor. Nothing fails since it
        can't be noted.
        """
        entry = {"name": name, "status": status, "source": source, "instance_id": instance_id}
        more = {"port_id": port_id, "operation": operation, "kind": "step"}
        with suppress(FakevmError):
            self.open().notify("record", {"entries": [{**entry, **more}]})
            self._pending = True

    def cursor(self) -> int:
        """Return where what has arrived until now ends."""
        return self.read(-1)[1]

    def read(
        self,
        after: int,
        *,
        timeout_s: float = 0,
        instance_ids: Collection[str] | None = None,
        away_s: float = _AWAY_S,
    ) -> tuple[list[Entry], int]:
        """Return what came after a cursor, some of it if it is much, and the cursor to go on with.

        Where there is nothing, something is waited for; empty after `timeout_s`.
        """
        ids = None if instance_ids is None else list(instance_ids)
        params = {"after": after, "instance_ids": ids}
        answer = self._request("read", params, wait_s=timeout_s, away_s=away_s)
        return [_entry(found) for found in answer["entries"]], int(answer["cursor"])

    def kept(self, after: int = 0, *, instance_ids: Collection[str] | None = None) -> list[Entry]:
        """Return all that has come after a cursor until now and is still kept."""
        found: list[Entry] = []
        while True:
            entries, after = self.read(after, instance_ids=instance_ids)
            if not entries:
                return found
            found += entries

    def follow(self, after: int, *, look_s: float = _POLL_S) -> Iterator[list[Entry]]:
        """Yield what comes after a cursor, as it comes, for ever; [] when `look_s` were quiet."""
        while True:
            entries, after = self.read(after, timeout_s=look_s, away_s=6 * _AWAY_S)
            yield entries

    def waiter(self, instance_id: str, name: str, port_ids: Sequence[str]) -> Waiter:
        """Return a waiter for an event of each port from now on; what came before is lost.

        Nova: ComputeVirtAPI.wait_for_instance_event, keyed by server, name and tag.
        """
        if self._look:
            return Watcher(self, instance_id, name, port_ids, after=0, look=self._look)
        return Waiter(self, instance_id, name, port_ids, after=self.cursor())

    def flush(self) -> None:
        """Wait until all that was noted here has arrived."""
        if self._pending:
            with suppress(FakevmError):
                self._request("read", {"after": -1}, away_s=0)

    def close(self) -> None:
        """Hang up, once all that was noted has arrived."""
        self.flush()
        with self._connecting:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _request(
        self,
        method: str,
        params: Mapping[str, Any],
        *,
        wait_s: float = 0,
        away_s: float = _AWAY_S,
    ) -> Any:
        end = time.monotonic() + wait_s
        away_since: float | None = None
        while True:
            left = max(0.0, end - time.monotonic())
            waiting = {"timeout_s": left} if wait_s else {}
            try:
                connection = self.open()
                answer = connection.request(
                    method, {**params, **waiting}, timeout_s=connection.timeout_s + left
                )
            except UnavailableError:
                now = time.monotonic()
                away_since = now if away_since is None else away_since
                if not self._answered or now - away_since >= away_s:
                    raise
            else:
                self._answered = True
                self._pending = False
                return answer
            time.sleep(_AWAY_INTERVAL_S)

    def open(self) -> Connection:
        """Return the connection, made anew if there is none."""
        with self._connecting:
            if self._connection is not None and self._connection.lost:
                self._connection.close()
                self._connection = None
            if self._connection is None:
                connection = self._connect()
                try:
                    self._register_again(connection)
                except FakevmError:
                    connection.close()
                    raise
                self._connection = connection
            return self._connection

    def _register_again(self, connection: Connection) -> None:
        """Tell a service that has restarted what we told it; of the others it knows later news."""
        if not self._registered:
            return
        asked = {"instance_ids": list(self._registered)}
        known = connection.request("servers", asked, timeout_s=connection.timeout_s)["servers"]
        for instance_id, told in list(self._registered.items()):
            if instance_id not in known:
                connection.notify("register", {"instance_id": instance_id, **told})


class Waiter:
    """Waits for one event for each of a server's ports."""

    def __init__(
        self, events: Events, instance_id: str, name: str, port_ids: Sequence[str], *, after: int
    ) -> None:
        self._events = events
        self._instance_id = instance_id
        self._name = name
        self._after = after
        self._missing = list(dict.fromkeys(port_ids))
        self._found: dict[str, Entry] = {}
        self._refused: dict[str, int] = {}

    @property
    def missing(self) -> tuple[str, ...]:
        """The ports whose event has not been seen yet."""
        return tuple(self._missing)

    def leave_out(self, port_ids: Iterable[str]) -> None:
        """Wait no more for these ports."""
        left_out = set(port_ids)
        self._missing = [port_id for port_id in self._missing if port_id not in left_out]

    def wait(self, timeout_s: float, *, host: str = "") -> dict[str, Entry]:
        """Wait until each port has its event; return them by port.

        `host` has the VIFs. Raises WaitTimeoutError with the ports that are missing, and
        EventFailedError for the first event that says anything but "completed"; wait again to go on
        with the other ports.
        """
        deadline = time.monotonic() + timeout_s
        while self._missing:
            left = max(0.0, deadline - time.monotonic())
            entries, cursor = self._events.read(
                self._after,
                timeout_s=min(left, _POLL_S),
                instance_ids=(self._instance_id,),
                away_s=max(left, _AWAY_S),
            )
            for entry in entries:
                self._after = entry.seq
                self._take(entry)
            self._after = cursor
            if self._missing and not entries and left == 0:
                raise WaitTimeoutError(
                    f"Neutron sent no {self._name} within {timeout_s:g} s for"
                    f" {', '.join(map(self._described, self._missing))}",
                    hint=f"fakevm show {self._missing[0]}; fakevm events",
                )
        return dict(self._found)

    def _take(self, entry: Entry) -> None:
        port_id = entry.port_id
        if entry.kind != "event" or entry.name != self._name or port_id not in self._missing:
            return
        if entry.code != 200:
            self._refused[port_id] = entry.code
            return
        self._missing.remove(port_id)
        self._found[port_id] = entry
        if entry.status != "completed":
            raise EventFailedError(
                f"Neutron says that {self._name} has {entry.status} for port {port_id}",
                hint=f"fakevm show {port_id}",
            )

    def _described(self, port_id: str) -> str:
        code = self._refused.get(port_id)
        reason = f" (it came, but was answered {code}: {_REFUSALS.get(code, '')})" if code else ""
        return f"port {port_id}{reason}"


class Watcher(Waiter):
    """Waits until each of a server's VIFs is wired on its host, of which no event comes."""

    def __init__(self, *args: Any, look: Look, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._look = look

    def wait(self, timeout_s: float, *, host: str = "") -> dict[str, Entry]:
        """Wait until each VIF is wired; WaitTimeoutError, with those that are not."""
        deadline = time.monotonic() + timeout_s
        while self._missing:
            left = max(_LOOK_S, deadline - time.monotonic())
            if not self._look(host, self._missing[0], within_s=left):
                raise WaitTimeoutError(
                    f"port {', '.join(self._missing)} was not wired within {timeout_s:g} s",
                    hint=f"fakevm show {self._missing[0]}",
                )
            del self._missing[0]
        return {}


def cursor_at(moment: float) -> int:
    """Return the cursor after which comes what arrived since then, in seconds since the epoch.

    An entry's number is the time of its arrival in microseconds, or more if others came with it.
    """
    return max(0, int(moment * 1_000_000) - 1)


def _server(instance_id: str, found: Mapping[str, Any]) -> Server:
    values = known(Server, found)
    lists = {name: tuple(told) for name, told in values.items() if isinstance(told, list)}
    return Server(**{**values, **lists, "instance_id": instance_id})


def _entry(found: Mapping[str, Any]) -> Entry:
    return Entry(**known(Entry, found))
