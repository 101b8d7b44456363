"""What this host's VMs are made of, and the locks that are held while they change."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from fakevm.errors import NotFoundError
from fakevm_agent.guest.folder import Guest
from fakevm_agent.guest.run import Spawner
from fakevm_agent.host.locks import Locks
from fakevm_agent.kernel import netns
from fakevm_agent.ovs.interface import Interface
from fakevm_agent.ovs.ovsdb import Ovsdb
from fakevm_agent.records import Record
from fakevm_agent.suspend.announce import Announcer
from fakevm_agent.vif.drivers import Drivers


@dataclass(frozen=True, kw_only=True)
class Host:
    """This host, as all that is done to its VMs takes it.

    Locks are taken in one order: a port's, then its VM's, the second one only while NICs come and
    go.
    """

    name: str
    integration_bridge: str
    state_path: Path
    # Seconds that ovs-vswitchd has to open a device.
    ofport_timeout: float
    ovsdb: Ovsdb
    drivers: Drivers
    spawner: Spawner
    announcer: Announcer = field(default_factory=Announcer)
    ports: Locks = field(default_factory=Locks)
    vms: Locks = field(default_factory=Locks)
    # Set when the agent stops: what waits in a thread gives up.
    stop: Event = field(default_factory=Event)

    def guest(self, instance_id: str) -> Guest:
        """Return a VM's folder."""
        return Guest(instance_id=instance_id, directory=self.state_path / instance_id)

    def recorded(self, port_id: str) -> Record:
        """Return the record of a VIF that is plugged, or raise NotFoundError."""
        interface = self.ovsdb.find(port_id)
        record = interface.record if interface else None
        if record is None or not netns.exists(record.vm.instance_id):
            raise not_plugged(port_id)
        return record

    def remember(self, records: Iterable[Record]) -> None:
        """Keep records in the database, all at once, or none."""
        here, alone = {}, []
        for record in records:
            driver = self.drivers.of(record.vif)
            if driver.in_open_vswitch:
                here[driver.port_name(record.vif.port_id)] = record
            else:
                alone.append(record)
        self.ovsdb.remember(here, alone)

    def unplug_port(self, interface: Interface, record: Record | None) -> None:
        """Have a port's driver unplug it, and see that it is out of the database.

        Of one whose driver nobody knows, as its package was taken away, what stands there goes.
        """
        driver = self.drivers.find(record.vif) if record else None
        if driver and record:
            driver.unplug(record.vif, record.vm)
        elif interface.in_open_vswitch:
            self.ovsdb.delete_port(interface.name)
        if interface.in_open_vswitch:
            self.ovsdb.wait_until_gone(interface.name)
        else:
            self.ovsdb.forget(interface.iface_id)

    @contextmanager
    def all_ports_held(self, instance_id: str) -> Iterator[list[Record]]:
        """Hold the locks of all of a VM's ports, then the VM's; yield their records, by NIC."""
        with ExitStack() as held:
            for port_id in sorted(r.vif.port_id for r in self.ovsdb.records_of(instance_id)):
                held.enter_context(self.ports.held(port_id))
            held.enter_context(self.vms.held(instance_id))
            records = self.ovsdb.records_of(instance_id)
            if not records or not netns.exists(instance_id):
                raise NotFoundError(
                    f"this host has no VM {instance_id} that is plugged", hint="fakevm list"
                )
            yield sorted(records, key=lambda record: record.nic)


def not_plugged(port_id: str) -> NotFoundError:
    """Return what is raised of a port that is not here."""
    return NotFoundError(
        f"port {port_id} is not plugged on this host", hint=f"fakevm plug {port_id}"
    )
