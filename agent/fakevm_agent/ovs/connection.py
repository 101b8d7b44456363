"""A connection to Open vSwitch's database. The only module that imports ovsdbapp."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ovsdbapp import exceptions
from ovsdbapp.backend.ovs_idl import connection, idlutils, transaction, vlog
from ovsdbapp.schema.open_vswitch import impl_idl

from fakevm.errors import FakevmError, UnavailableError

_TABLES = ("Bridge", "Interface", "Open_vSwitch", "Port", "QoS")
_ECHO = b'{"method": "echo", "params": [], "id": 0}'
# What ovs-vswitchd tells of every interface, some of it all the time, and nobody here reads: the
# database's JSON is parsed in Python.
_NOISE = {
    *("admin_state", "duplex", "ifindex", "lacp_current", "link_resets", "link_speed"),
    *("link_state", "mac_in_use", "mtu", "statistics", "status"),
}


class _Idl(connection.OvsdbIdl):  # type: ignore[misc]
    """A copy of the database that counts its changes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.changed = threading.Condition()
        self.changes = 0
        super().__init__(*arguments, **options)

    def cooperative_yield(self) -> None:
        """Go on: this is for programs without threads, and gives the processor away."""

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        with self.changed:
            self.changes += 1
            self.changed.notify_all()


class Connection:
    """One connection, held open; ovsdbapp opens it again when it breaks."""

    def __init__(self, address: str, *, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._api: Any = None
        vlog.use_python_logger()
        # With a traceback each: what os-vif's transactions could not do, which is read back here.
        for name in ("ovsdbapp.schema", "ovsdbapp.backend.ovs_idl.transaction"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def connect(self) -> None:
        """Connect, or raise UnavailableError; a server that hangs blocks."""
        self._probe()
        try:
            helper = idlutils.get_schema_helper(self._address, "Open_vSwitch")
            for table in _TABLES:
                columns = set(helper.schema_json["tables"][table]["columns"])
                helper.register_columns(table, sorted(columns - _NOISE))
            link = connection.Connection(_Idl(self._address, helper), self._timeout)
            # ovsdbapp keeps a connection in its class, and os-vif's class inherits it from this
            # one: one connection, one copy of the database, and what os-vif did is seen at once.
            self._api = impl_idl.OvsdbIdl(link)
        except Exception as error:  # ovsdbapp raises Exception itself.
            raise self._unavailable(str(error)) from error

    def close(self) -> None:
        """Close the connection."""
        if self._api:
            self._api.ovsdb_connection.stop(timeout=self._timeout)

    def check(self) -> None:
        """Raise UnavailableError where the server does not answer in time."""
        self._connected()
        self._probe(_ECHO)

    def row(self, table: str, name: str) -> Any:
        """Return a row by its name, or None."""
        # By ovsdbapp's index: to look at each row takes a millisecond for some tens of them.
        return idlutils.row_by_value(self._connected().idl, table, "name", name, None)

    def wait_until(self, look: Callable[[], bool], *, timeout: float) -> bool:
        """Look after every change of the database; tell whether it was so before the timeout."""
        idl = self._connected().idl
        deadline = time.monotonic() + timeout
        while True:
            seen = idl.changes
            if look():
                return True
            with idl.changed:
                left = deadline - time.monotonic()
                if not idl.changed.wait_for(lambda seen=seen: idl.changes != seen, left):
                    return False

    def execute(self, commands: Callable[[Any], list[Any]]) -> None:
        """Carry out what `commands` makes of ovsdbapp's API, in one transaction."""
        api = self._connected()
        self._probe()
        # Not of the API's own kind, which waits until ovs-vswitchd has worked it off.
        # Without check_error ovsdbapp is silent.
        work = transaction.Transaction(
            api, api.ovsdb_connection, check_error=True, log_errors=False
        )
        work.extend(commands(api))
        try:
            work.commit()
        except exceptions.TimeoutException as error:
            raise self._unavailable(f"no answer within {self._timeout:g} s") from error
        except RuntimeError as error:
            raise FakevmError(f"Open vSwitch's database refuses: {error}") from error

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """Give the tables, as they are during the block."""
        api = self._connected()
        self._probe()
        # ovsdbapp's thread changes the tables under the same lock.
        if not api.ovsdb_connection.lock.acquire(timeout=self._timeout):
            raise self._unavailable(f"no answer within {self._timeout:g} s")
        try:
            yield api.tables
        finally:
            api.ovsdb_connection.lock.release()

    def _connected(self) -> Any:
        if self._api is None:
            raise self._unavailable("not connected yet")
        return self._api

    def _probe(self, question: bytes = b"") -> None:
        """See at once what would otherwise take a timeout: that no server listens."""
        if not self._address.startswith("unix:"):
            return
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(self._timeout)
            try:
                channel.connect(self._address.removeprefix("unix:"))
                if question:
                    channel.sendall(question)
                    channel.recv(1)
            except OSError as error:
                raise self._unavailable(str(error)) from error

    def _unavailable(self, reason: str) -> UnavailableError:
        return UnavailableError(
            f"ovsdb-server at {self._address} does not answer: {reason}",
            hint="in the host: s6-svc -r /run/services/ovsdb-server",
        )
