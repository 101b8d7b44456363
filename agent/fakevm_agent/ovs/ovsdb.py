"""Open vSwitch's database. The only module that imports ovsdbapp."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from ovsdbapp import exceptions
from ovsdbapp.backend.ovs_idl import connection, idlutils, transaction, vlog
from ovsdbapp.schema.open_vswitch import impl_idl

from fakevm.errors import FakevmError, UnavailableError, WaitTimeoutError
from fakevm_agent.ovs import records
from fakevm_agent.ovs.interface import Interface
from fakevm_agent.ovs.records import KEY
from fakevm_agent.records import Record

_TABLES = ("Bridge", "Interface", "Open_vSwitch", "Port", "QoS")
_ECHO = b'{"method": "echo", "params": [], "id": 0}'
# What ovs-vswitchd tells of every interface, some of it all the time, and nobody here reads: the
# database's JSON is parsed in Python.
_NOISE = {
    *("admin_state", "duplex", "ifindex", "lacp_current", "link_resets", "link_speed"),
    *("link_state", "mac_in_use", "mtu", "statistics", "status"),
}
# Neutron's: a port with this tag takes no part in anything.
_DEAD_VLAN = 4095


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


class Ovsdb:
    """One connection, held open; ovsdbapp opens it again when it breaks."""

    def __init__(
        self, address: str, *, timeout: float, port_names: Callable[[str], Collection[str]]
    ) -> None:
        # `port_names`: what a port's interface may be called.
        self._port_names = port_names
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

    def interfaces(self) -> dict[str, Interface]:
        """Return the interfaces that os-vif plugged, by name.

        It alone writes vm-uuid: a DHCP or L3 agent's interface has the other keys, but not this.
        """
        with self._reading() as tables:
            owners = {
                interface.uuid: (bridge, port)
                for bridge in tables["Bridge"].rows.values()
                for port in bridge.ports
                for interface in port.interfaces
            }
            return {
                row.name: _interface(row, *owners[row.uuid])
                for row in tables["Interface"].rows.values()
                if row.uuid in owners and {"iface-id", "vm-uuid"} <= row.external_ids.keys()
            }

    def find(self, port_id: str) -> Interface | None:
        """Return the interface of a port, whoever plugged it."""
        with self._reading() as tables:
            for name in self._port_names(port_id):
                row, port = self._row("Interface", name), self._row("Port", name)
                if row and port and row.external_ids.get("iface-id") == port_id:
                    for bridge in tables["Bridge"].rows.values():
                        if port in bridge.ports:
                            return _interface(row, bridge, port)
        return None

    def records_of(self, instance_id: str) -> list[Record]:
        """Return the records of a VM's VIFs."""
        with self._reading() as tables:
            keys = [row.external_ids for row in tables["Interface"].rows.values()]
        mine = [key for key in keys if key.get("vm-uuid") == instance_id and KEY in key]
        return [record for key in mine if (record := records.parse(key[KEY]))]

    def wait_until_opened(self, name: str, *, timeout: float) -> None:
        """Wait until ovs-vswitchd has given the interface an ofport.

        An error of the interface is not the end: vswitchd tries again when devices change, and the
        error may be of a device that was there before under this name.
        """
        if not self._wait_until(lambda: self._is_open(name), timeout=timeout):
            row = self._find(name)
            words = f": {row.error[0]}" if row and row.error else ""
            raise WaitTimeoutError(
                f"ovs-vswitchd has not opened {name} within {timeout:g} s{words}",
                hint="in the host: s6-svc -r /run/services/ovs-vswitchd",
            )

    def wait_until_tried(self, name: str, *, timeout: float) -> None:
        """Wait until ovs-vswitchd has looked for the interface's device, found or not."""
        if not self._wait_until(lambda: self._is_tried(name), timeout=timeout):
            raise WaitTimeoutError(
                f"ovs-vswitchd has not looked for {name} within {timeout:g} s",
                hint="in the host: s6-svc -r /run/services/ovs-vswitchd",
            )

    def has(self, name: str) -> bool:
        """Tell whether there is such an interface."""
        return self._find(name) is not None

    def remember(self, by_name: Mapping[str, Record]) -> None:
        """Keep records beside os-vif's keys of interfaces, all at once, or none."""
        for name in by_name:
            # os-vif made it on a connection of its own: it may come here a moment later.
            if not self._wait_until(partial(self.has, name), timeout=self._timeout):
                words = f"os-vif has made no interface {name}"
                raise FakevmError(words, hint="see the agent's log")
        values = {name: {KEY: records.dump(record)} for name, record in by_name.items()}
        self._execute(
            lambda api: [
                api.db_set("Interface", name, ("external_ids", value))
                for name, value in values.items()
            ]
        )

    def delete_port(self, name: str) -> None:
        """Delete a port; content if it is gone."""
        self._execute(lambda api: [api.del_port(name, if_exists=True)])

    def wait_until_gone(self, name: str) -> None:
        """Wait until what os-vif deleted on its connection is gone here, too."""
        if not self._wait_until(lambda: not self.has(name), timeout=self._timeout):
            raise WaitTimeoutError(
                f"interface {name} is still in Open vSwitch's database after {self._timeout:g} s",
                hint=f"ovs-vsctl del-port {name}",
            )

    def datapath(self, bridge: str) -> str:
        """Return a bridge's datapath type; "" where the L2 agent has not made the bridge yet."""
        with self._reading() as tables:
            for row in tables["Bridge"].rows.values():
                if row.name == bridge:
                    return row.datapath_type or "system"
        return ""

    def version(self) -> str:
        """Return Open vSwitch's version."""
        with self._reading() as tables:
            rows = list(tables["Open_vSwitch"].rows.values())
            return str(rows[0].ovs_version[0]) if rows and rows[0].ovs_version else ""

    def _is_open(self, name: str) -> bool:
        row = self._find(name)
        return bool(row and row.ofport and row.ofport[0] != -1)

    def _is_tried(self, name: str) -> bool:
        row = self._find(name)
        return bool(row and row.ofport)

    def _find(self, name: str) -> Any:
        with self._reading():
            return self._row("Interface", name)

    def _row(self, table: str, name: str) -> Any:
        # By ovsdbapp's index: to look at each row takes a millisecond for some tens of them.
        return idlutils.row_by_value(self._connected().idl, table, "name", name, None)

    def _wait_until(self, look: Callable[[], bool], *, timeout: float) -> bool:
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

    def _execute(self, commands: Callable[[Any], list[Any]]) -> None:
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
    def _reading(self) -> Iterator[Any]:
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


def _interface(row: Any, bridge: Any, port: Any) -> Interface:
    tag = port.tag[0] if port.tag else None
    return Interface(
        name=row.name,
        bridge=bridge.name,
        ofport=row.ofport[0] if row.ofport else None,
        error=row.error[0] if row.error else "",
        tag=None if tag == _DEAD_VLAN else tag,
        iface_id=row.external_ids["iface-id"],
        record=records.parse(row.external_ids[KEY]) if KEY in row.external_ids else None,
    )
