"""Open vSwitch's database: interfaces, and the agent's records at their ports."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from fakevm.errors import FakevmError, WaitTimeoutError
from fakevm_agent.ovs import records
from fakevm_agent.ovs.connection import Connection
from fakevm_agent.ovs.interface import Interface
from fakevm_agent.ovs.records import KEY
from fakevm_agent.records import Record

# Neutron's: a port with this tag takes no part in anything.
_DEAD_VLAN = 4095


class Ovsdb:
    """What the agent reads and writes there."""

    def __init__(
        self, address: str, *, timeout: float, port_names: Callable[[str], Collection[str]]
    ) -> None:
        # What a port's interface may be called.
        self._port_names = port_names
        self._timeout = timeout
        self._connection = Connection(address, timeout=timeout)

    def connect(self) -> None:
        """Connect, or raise UnavailableError; a server that hangs blocks."""
        self._connection.connect()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def check(self) -> None:
        """Raise UnavailableError where the server does not answer in time."""
        self._connection.check()

    def interfaces(self) -> dict[str, Interface]:
        """Return the interfaces that os-vif plugged, by name, and those of VIFs without a port.

        It alone writes vm-uuid: a DHCP or L3 agent's interface has the other keys, but not this.
        """
        with self._connection.reading() as tables:
            owners = {
                interface.uuid: (bridge, port)
                for bridge in tables["Bridge"].rows.values()
                for port in bridge.ports
                for interface in port.interfaces
            }
            found = {
                row.name: _interface(row, *owners[row.uuid])
                for row in tables["Interface"].rows.values()
                if row.uuid in owners and {"iface-id", "vm-uuid"} <= row.external_ids.keys()
            }
            return {record.vif.device: _alone(record) for record in _at_root(tables)} | found

    def find(self, port_id: str) -> Interface | None:
        """Return the interface of a port, whoever plugged it, or its record that stands alone."""
        with self._connection.reading() as tables:
            for name in self._port_names(port_id):
                row, port = (self._connection.row(table, name) for table in ("Interface", "Port"))
                if row and port and row.external_ids.get("iface-id") == port_id:
                    for bridge in tables["Bridge"].rows.values():
                        if port in bridge.ports:
                            return _interface(row, bridge, port)
            alone = [record for record in _at_root(tables) if record.vif.port_id == port_id]
            return _alone(alone[0]) if alone else None

    def records_of(self, instance_id: str) -> list[Record]:
        """Return the records of a VM's VIFs."""
        with self._connection.reading() as tables:
            ports = [
                self._connection.row("Port", row.name)
                for row in tables["Interface"].rows.values()
                if row.external_ids.get("vm-uuid") == instance_id
            ]
            found = [_record(port) for port in ports if port]
            alone = [one for one in _at_root(tables) if one.vm.instance_id == instance_id]
        return [*alone, *filter(None, found)]

    def wait_until_opened(self, name: str, *, timeout: float) -> None:
        """Wait until ovs-vswitchd has given the interface an ofport.

        An error of the interface is not the end: vswitchd tries again when devices change, and the
        error may be of a device that was there before under this name.
        """
        if not self._connection.wait_until(lambda: self._is_open(name), timeout=timeout):
            row = self._find(name)
            words = f": {row.error[0]}" if row and row.error else ""
            raise WaitTimeoutError(
                f"ovs-vswitchd has not opened {name} within {timeout:g} s{words}",
                hint="in the host: s6-svc -r /run/services/ovs-vswitchd",
            )

    def wait_until_tried(self, name: str, *, timeout: float) -> None:
        """Wait until ovs-vswitchd has looked for the interface's device, found or not."""
        if not self._connection.wait_until(lambda: self._is_tried(name), timeout=timeout):
            raise WaitTimeoutError(
                f"ovs-vswitchd has not looked for {name} within {timeout:g} s",
                hint="in the host: s6-svc -r /run/services/ovs-vswitchd",
            )

    def has(self, name: str) -> bool:
        """Tell whether there is such an interface."""
        return self._find(name) is not None

    def remember(self, by_name: Mapping[str, Record], alone: Collection[Record] = ()) -> None:
        """Keep records at the ports of these interfaces, all at once, or none.

        Not beside os-vif's keys of an interface: to them Neutron adds what it knows of a trunk, and
        writes back with it all that it read there before (ovsdb_handler.py, _set_trunk_metadata).
        Those of VIFs that have no interface here stand alone, at the database's root.
        """
        for name in by_name:
            # os-vif made it on a connection of its own: it may come here a moment later.
            if not self._connection.wait_until(partial(self.has, name), timeout=self._timeout):
                words = f"os-vif has made no interface {name}"
                raise FakevmError(words, hint="see the agent's log")
        values = {name: {KEY: records.dump(record)} for name, record in by_name.items()}
        root = {_key(record.vif.port_id): records.dump(record) for record in alone}
        self._connection.execute(
            lambda api: [
                *(
                    api.db_set("Port", name, ("external_ids", value))
                    for name, value in values.items()
                ),
                *([api.db_set("Open_vSwitch", ".", ("external_ids", root))] if root else []),
            ]
        )

    def forget(self, port_id: str) -> None:
        """Delete a record that stands alone; content if it is gone."""
        self._connection.execute(
            lambda api: [api.db_remove("Open_vSwitch", ".", "external_ids", _key(port_id))]
        )

    def delete_port(self, name: str) -> None:
        """Delete a port; content if it is gone."""
        self._connection.execute(lambda api: [api.del_port(name, if_exists=True)])

    def wait_until_gone(self, name: str) -> None:
        """Wait until what os-vif deleted on its connection is gone here, too."""
        if not self._connection.wait_until(lambda: not self.has(name), timeout=self._timeout):
            raise WaitTimeoutError(
                f"interface {name} is still in Open vSwitch's database after {self._timeout:g} s",
                hint=f"ovs-vsctl del-port {name}",
            )

    def datapath(self, bridge: str) -> str:
        """Return a bridge's datapath type; "" where the L2 agent has not made the bridge yet."""
        with self._connection.reading() as tables:
            for row in tables["Bridge"].rows.values():
                if row.name == bridge:
                    return row.datapath_type or "system"
        return ""

    def version(self) -> str:
        """Return Open vSwitch's version."""
        with self._connection.reading() as tables:
            rows = list(tables["Open_vSwitch"].rows.values())
            return str(rows[0].ovs_version[0]) if rows and rows[0].ovs_version else ""

    def _is_open(self, name: str) -> bool:
        row = self._find(name)
        return bool(row and row.ofport and row.ofport[0] != -1)

    def _is_tried(self, name: str) -> bool:
        row = self._find(name)
        return bool(row and row.ofport)

    def _find(self, name: str) -> Any:
        with self._connection.reading():
            return self._connection.row("Interface", name)


def _key(port_id: str) -> str:
    return f"{KEY}-{port_id}"


def _at_root(tables: Any) -> list[Record]:
    """Return the records that stand alone."""
    return [
        record
        for row in tables["Open_vSwitch"].rows.values()
        for key, text in row.external_ids.items()
        if key.startswith(_key("")) and (record := records.parse(text))
    ]


def _alone(record: Record) -> Interface:
    return Interface(
        name=record.vif.device,
        bridge="",
        ofport=None,
        error="",
        tag=None,
        iface_id=record.vif.port_id,
        record=record,
        in_open_vswitch=False,
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
        record=_record(port),
    )


def _record(port: Any) -> Record | None:
    """Return the record at a port, if there is one."""
    text = port.external_ids.get(KEY)
    return records.parse(text) if text else None
