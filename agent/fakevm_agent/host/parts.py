"""The VMs of this host: what the agent's requests do.

A request and the start of the agent end in the same `plan`, from what OVSDB says should be to what
the kernel has. Locks are taken in one order: a port's, then its VM's, the second one only while
NICs come and go.
"""

import importlib.metadata
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fakevm.errors import ConflictError, FakevmError, NotFoundError
from fakevm.model import GuestState, HostInfo, PluggedVif, Vif, Vm
from fakevm_agent.guest import addressing
from fakevm_agent.guest.folder import Guest
from fakevm_agent.guest.run import Spawner
from fakevm_agent.host import view
from fakevm_agent.host.locks import Locks
from fakevm_agent.kernel import ip, netlink, netns, processes
from fakevm_agent.kernel.netlink import Link
from fakevm_agent.ovs.interface import Interface
from fakevm_agent.ovs.ovsdb import Ovsdb
from fakevm_agent.plans.plan import (
    Present,
    default_routes,
    free_nic,
    plan,
    static_addresses,
    with_late_device,
)
from fakevm_agent.plans.steps import (
    Connect,
    MakeNetns,
    MakeNic,
    MissDevice,
    PlugPort,
    Remember,
    RemoveDevice,
    SetAddresses,
    SetNic,
    SetState,
    StartNic,
    Step,
    UnplugPort,
)
from fakevm_agent.records import Owner, Record, owner_of
from fakevm_agent.suspend import state
from fakevm_agent.suspend.announce import Announcer
from fakevm_agent.vif.driver import Drivers
from fakevm_agent.vif.names import tap_name
from fakevm_agent.vms.cleanup import Leftover, left_over
from fakevm_agent.vms.neutron import Neutron

LOG = logging.getLogger(__name__)

_RESTORED_SIDE_BY_SIDE = 8
# What a step of these does can collide with other VIFs of the same VM.
_INSIDE = (
    *(UnplugPort, MakeNetns, RemoveDevice, MakeNic),
    *(StartNic, SetNic, SetState, SetAddresses),
)


class Host:
    """This host: its VMs and what they are plugged into."""

    def __init__(
        self, conf: Any, *, ovsdb: Ovsdb, drivers: Drivers, spawner: Spawner, neutron: Neutron
    ) -> None:
        self._conf = conf
        self._ovsdb = ovsdb
        self._drivers = drivers
        self._spawner = spawner
        self._neutron = neutron
        self._ports = Locks()
        self._vms = Locks()
        self._announcer = Announcer()

    def info(self) -> HostInfo:
        """Tell what this host is."""
        return HostInfo(
            host=self._conf.host,
            version=importlib.metadata.version("fakevm"),
            datapath=self._ovsdb.datapath(self._conf.fakevm.integration_bridge),
            ovs_version=self._ovsdb.version(),
            vms=len(view.instances()),
            vifs=len(view.owners(netlink.links())),
        )

    def plug(
        self, vif: Vif, vm: Vm, *, paused: bool = False, late_tap: bool = False, nic: str = ""
    ) -> tuple[PluggedVif, bool]:
        """Make the VIF as it should be; tell what it is then, and whether anything was done.

        A failure undoes what was made. Paused, the VM's NIC stays down and without addresses.
        With `late_tap` its device is made after the OVS port. A new NIC is called `nic` if that
        is free.
        """
        self._drivers.of(vif).check(vif)
        with self._ports.held(vif.port_id), ExitStack() as undo:
            self._ovsdb.check()
            wanted = Record(vif=vif, vm=vm, nic="", paused=paused)
            steps = self._converge(wanted, undo, late_tap=late_tap, nic=nic)
            self._wait_until_opened(vif)
            (plugged,) = self._vif(vif.port_id)
            undo.pop_all()
        return plugged, bool(steps)

    def suspend(self, instance_id: str) -> GuestState:
        """Pause a VM: set all its NICs down; return what it had."""
        with self._all_ports_held(instance_id) as records:
            if all(record.paused for record in records):
                raise ConflictError(f"VM {records[0].vm.name} is paused")
            self._announcer.stop(instance_id)
            guest = self._guest(instance_id)
            others = addressing.other_processes(guest)
            nics = {record.vif.port_id: (record.nic, record.vif.mtu) for record in records}
            with ExitStack() as undo:
                with netns.entered(instance_id):
                    found = state.suspend(nics, processes=others, files=guest.carried())
                _push(undo, self._go_on, instance_id, records, found)
                self._remember_paused(records, paused=True)
                undo.pop_all()
        return found

    def resume(self, instance_id: str, given: GuestState | None, *, rarp: bool) -> float:
        """Let a paused VM go on, with what it had, or as it boots; content if it runs.

        Returns when its last NIC was up.
        """
        with self._all_ports_held(instance_id) as records:
            if not any(record.paused for record in records):
                return time.time()
            nics = {record.vif.port_id: record.nic for record in records}
            if given:
                there = {nic.nic: nics.get(nic.port_id, nic.nic) for nic in given.nics}
                self._guest(instance_id).take_over(given.files, nics=there)
            with netns.entered(instance_id):
                now, refused = state.resume(nics, given)
                if rarp:
                    macs = {record.nic: record.vif.mac_address for record in records}
                    self._announcer.start(instance_id, macs)
                if given is None:
                    self._set_static_addresses(records)
            if given is None:
                self._start_clients_anew(records)
            self._remember_paused(records, paused=False)
        if refused:
            raise FakevmError(
                f"VM {records[0].vm.name} runs, but the kernel refused of what it had: "
                f"{', '.join(refused)}"
            )
        return now

    def configure(self, port_id: str, *, timeout: float) -> list[str]:
        """Start the clients that the VIF's addresses ask for, and wait for the addresses."""
        deadline = time.monotonic() + timeout
        with self._ports.held(port_id):
            record = self._recorded(port_id)
            if record.paused:
                raise ConflictError(f"VM {record.vm.name} is paused")
            if not record.configured:
                record = replace(record, configured=True)
                self._ovsdb.remember({self._drivers.port_name(record.vif): record})
            guest = self._guest(record.vm.instance_id)
            addressing.start(record, guest, self._spawner)
        # Without the lock: who unplugs need not wait.
        return addressing.wait(record, guest, timeout=timeout, deadline=deadline)

    def unplug(self, port_id: str) -> bool:
        """Remove the VIF, with the VM if it was the last one; tell whether anything was there."""
        with self._ports.held(port_id):
            self._ovsdb.check()
            return self._unplug(port_id)

    def vifs(self, port_id: str | None = None) -> list[PluggedVif]:
        """Return all VIFs, or one."""
        if port_id is None:
            return self._described(netlink.links(), self._ovsdb.interfaces())
        return self._vif(port_id)

    def cleanup(
        self, keep: frozenset[str], *, only: frozenset[str] | None, dry_run: bool
    ) -> list[Leftover]:
        """Remove what is left of ports that are not in `keep`; return what it is.

        With `only`, what belongs to other ports than these is left alone.
        """
        links, interfaces = netlink.links(), self._ovsdb.interfaces()
        records = view.records(interfaces)
        owners = {port: owner_of(record) for port, record in records.items()}
        owners |= view.owners(links)
        if only is not None:
            known = owners.keys() | {interface.iface_id for interface in interfaces.values()}
            keep |= known - only
        found = left_over(
            keep,
            links=links,
            strays=self._drivers.strays(keep, links),
            interfaces=interfaces,
            owners=owners,
            instances={name: processes.inside(netns.identity(name)) for name in view.instances()},
        )
        if dry_run:
            return found
        for port_id in sorted({item.port_id for item in found if item.port_id}):
            self.unplug(port_id)
        for item in found:
            # What an unplug did not take along: it had no record, or was made by half.
            match item.kind:
                case "interface":
                    self._ovsdb.delete_port(item.name)
                case "device" | "bridge":
                    netlink.delete_link(item.name)
                case "netns":
                    self._remove_vm_if_empty(item.name)
        return found

    def moved(self) -> Collection[str]:
        """Return the ports of VIFs that Neutron has on other hosts by now, or UnavailableError."""
        records = view.records(self._ovsdb.interfaces())
        return self._neutron.elsewhere(records) if records else ()

    def destroy_moved(self, port_ids: Collection[str]) -> None:
        """Unplug what was evacuated while this host was away, or failed to be unplugged.

        nova: ComputeManager._destroy_evacuated_instances. A failure of one is only logged.
        """
        for port_id in port_ids:
            try:
                with self._ports.held(port_id):
                    # It may have come back: it is bound before it is plugged, for which the lock
                    # is needed.
                    host = self._neutron.elsewhere([port_id]).get(port_id)
                    if host and self._unplug(port_id):
                        LOG.info("unplugged port %s, which is on %s by now", port_id, host)
            except FakevmError as error:
                LOG.error("port %s, which is on another host by now: %s", port_id, error)

    def restore(self) -> None:
        """Make again what OVSDB has and the kernel has not; a failure of one is only logged."""
        for name in self._leftover_folders():
            Guest(instance_id=name, directory=self._folder(name)).delete()
        # Now, so that no guest that is paused has to wait for it.
        state.fresh()
        records = view.records(self._ovsdb.interfaces())
        order = sorted(records.values(), key=lambda record: (record.vm.instance_id, record.nic))
        with ThreadPoolExecutor(_RESTORED_SIDE_BY_SIDE) as pool:
            list(pool.map(self._restore, order))

    def guest_of(self, *, port_id: str | None, instance_id: str | None) -> Guest:
        """Return the VM with this id, or the one that the port is plugged into."""
        if instance_id is None:
            assert port_id is not None
            links = netlink.find_links(tap_name(port_id))
            owner = view.owners(links).get(port_id)
            if owner is None:
                raise _not_plugged(port_id)
            instance_id = owner.instance_id
        if not netns.exists(instance_id):
            raise NotFoundError(f"this host has no VM {instance_id}", hint="fakevm list")
        return self._guest(instance_id)

    @contextmanager
    def _all_ports_held(self, instance_id: str) -> Iterator[list[Record]]:
        """Hold the locks of all of a VM's ports, then the VM's; yield their records, by NIC."""
        with ExitStack() as held:
            for port_id in sorted(r.vif.port_id for r in self._ovsdb.records_of(instance_id)):
                held.enter_context(self._ports.held(port_id))
            held.enter_context(self._vms.held(instance_id))
            records = self._ovsdb.records_of(instance_id)
            if not records or not netns.exists(instance_id):
                raise NotFoundError(
                    f"this host has no VM {instance_id} that is plugged", hint="fakevm list"
                )
            yield sorted(records, key=lambda record: record.nic)

    def _remember_paused(self, records: Collection[Record], *, paused: bool) -> None:
        self._ovsdb.remember(
            {
                self._drivers.port_name(record.vif): replace(record, paused=paused)
                for record in records
                if record.paused != paused
            }
        )

    def _go_on(self, instance_id: str, records: Collection[Record], found: GuestState) -> None:
        """Let a guest run whose pause could not be written down."""
        with netns.entered(instance_id):
            state.resume({record.vif.port_id: record.nic for record in records}, found)

    def _set_static_addresses(self, records: Collection[Record]) -> None:
        for record in records:
            static = static_addresses(record.vif)
            if static:
                routes = default_routes(record.nic, static)
                ip.set_addresses(record.nic, add=static, remove=(), routes=routes)

    def _start_clients_anew(self, records: Collection[Record]) -> None:
        """Let the DHCP clients of a guest that was paused set again what its NICs have lost."""
        for record in records:
            guest = self._guest(record.vm.instance_id)
            addressing.stop(record.nic, guest)
            if record.configured:
                addressing.start(record, guest, self._spawner)

    def _recorded(self, port_id: str) -> Record:
        """Return the record of a VIF that is plugged."""
        interface = self._ovsdb.find(port_id)
        record = interface.record if interface else None
        if record is None or not netns.exists(record.vm.instance_id):
            raise _not_plugged(port_id)
        return record

    def _vif(self, port_id: str) -> list[PluggedVif]:
        """Return one VIF, if it is there."""
        found = self._ovsdb.find(port_id)
        links = netlink.find_links(tap_name(port_id))
        return self._described(links, {found.name: found} if found else {})

    def _described(
        self, links: Mapping[str, Link], interfaces: Mapping[str, Interface]
    ) -> list[PluggedVif]:
        return view.describe_all(links, interfaces, port_names=self._drivers.port_names)

    def _restore(self, record: Record) -> None:
        port_id = record.vif.port_id
        try:
            with self._ports.held(port_id), ExitStack() as undo:
                steps = self._converge(record, undo)
                undo.pop_all()
                if steps:
                    self._wait_until_opened(record.vif)
                    LOG.info("made port %s of VM %s again", port_id, record.vm.instance_id)
        except FakevmError as error:
            LOG.error("port %s of VM %s: %s", port_id, record.vm.instance_id, error)

    def _wait_until_opened(self, vif: Vif) -> None:
        """Wait until ovs-vswitchd has opened the port's device, which is up then.

        Where the port is there before its device, ovs-vswitchd opens the device when it comes, and
        later writes back the flags that it read then, with IFF_PROMISC (Open vSwitch:
        netdev_turn_flags_on): a device that was set up in between is down again.
        """
        name = self._drivers.port_name(vif)
        self._ovsdb.wait_until_opened(name, timeout=self._conf.fakevm.ofport_timeout)
        link = netlink.find_links(name).get(name)
        if link and not link.up:
            netlink.set_link(name, up=True)

    def _converge(
        self,
        wanted: Record,
        undo: ExitStack,
        *,
        late_tap: bool = False,
        nic: str = "",
    ) -> list[Step]:
        """Plan and execute; `wanted` without a NIC gets the one that it had, or `nic`, or the next.

        The port's steps come last and do not hold the VM: they mostly wait for ovs-vswitchd. To do
        them beside the others gains nothing, since all of it is Python's, one thread at a time.
        With `late_tap` it is all done while the VM is held, since its device has no NIC yet.
        """
        vm = wanted.vm
        with self._vms.held(vm.instance_id):
            present = self._present(wanted.vif, vm)
            wanted = self._named(wanted, present, nic)
            steps = plan(wanted, present, port_name=self._drivers.port_name(wanted.vif))
            if late_tap:
                steps = with_late_device(steps)
            inside = [step for step in steps if late_tap or isinstance(step, _INSIDE)]
            self._execute_all(inside, wanted, undo)
        others = [step for step in steps if step not in inside]
        self._execute_all(others, wanted, undo)
        if MakeNic() in steps and wanted.configured and not wanted.paused:
            addressing.start(wanted, self._guest(vm.instance_id), self._spawner)
        return steps

    def _named(self, wanted: Record, present: Present, nic: str) -> Record:
        """Return the record with its NIC: the one that it has or had, or `nic`, or the next."""
        if wanted.nic:
            return wanted
        kept = present.interface.record if present.interface else None
        owner = Owner.of(present.device) if present.device else None
        there = owner or kept
        name = there.nic if there else self._free_nic(wanted.vm, present, nic)
        return replace(wanted, nic=name, configured=bool(kept and kept.configured))

    def _execute_all(self, steps: Collection[Step], record: Record, undo: ExitStack) -> None:
        for step in steps:
            self._execute(step, record, undo)

    def _execute(self, step: Step, record: Record, undo: ExitStack) -> None:
        vif, vm = record.vif, record.vm
        driver = self._drivers.of(vif)
        # Each undo is pushed before its act, so that a half-made thing goes, too.
        match step:
            case MakeNetns():
                _push(undo, self._remove_vm_if_empty, vm.instance_id)
                try:
                    self._guest(vm.instance_id).create(vm)
                    netns.create(vm.instance_id)
                except OSError as error:
                    raise FakevmError(f"VM {vm.instance_id} can't be made: {error}") from error
            case RemoveDevice():
                netlink.delete_link(vif.device)
            case MakeNic():
                _push(undo, netlink.delete_link, vif.device)
                self._make_nic(record)
            case StartNic():
                self._start_nic(record)
            case SetNic(mac_address, mtu):
                netlink.set_link(vif.device, mtu=mtu)
                with netns.entered(vm.instance_id):
                    netlink.set_link(record.nic, mtu=mtu, mac_address=mac_address)
            case SetState(up):
                with netns.entered(vm.instance_id):
                    netlink.set_link(record.nic, up=up)
            case SetAddresses(add, remove, routes):
                with netns.entered(vm.instance_id):
                    ip.set_addresses(record.nic, add=add, remove=remove, routes=routes)
            case UnplugPort(before):
                self._drivers.of(before.vif).unplug(before.vif, before.vm)
                self._ovsdb.wait_until_gone(self._drivers.port_name(before.vif))
            case PlugPort(new):
                if new:
                    _push(undo, driver.unplug, vif, vm)
                try:
                    driver.plug(vif, vm)
                except FakevmError:
                    self._ovsdb.check()
                    # It waits for ovs-vswitchd, too, when the port is there; so does `plug` then,
                    # with its own timeout and words.
                    if not self._ovsdb.has(driver.port_name(vif.port_id)):
                        raise
            case MissDevice():
                timeout = self._conf.fakevm.ofport_timeout
                self._ovsdb.wait_until_tried(driver.port_name(vif.port_id), timeout=timeout)
            case Connect():
                driver.connect(vif)
            case Remember():
                self._ovsdb.remember({driver.port_name(vif.port_id): record})

    def _unplug(self, port_id: str) -> bool:
        links = netlink.links()
        interface = self._ovsdb.find(port_id)
        record = interface.record if interface else None
        owner = view.owners(links).get(port_id) or (owner_of(record) if record else None)
        between = [name for name in self._drivers.devices(port_id) if name in links]
        if owner is None and interface is None and not between:
            return False
        if owner:
            self._announcer.stop(owner.instance_id)
            with self._vms.held(owner.instance_id):
                addressing.stop(owner.nic, self._guest(owner.instance_id))
                # First, as libvirt does when it destroys a guest; Nova then calls os-vif.
                netlink.delete_link(tap_name(port_id))
        if record:
            self._drivers.of(record.vif).unplug(record.vif, record.vm)
        elif interface:
            self._ovsdb.delete_port(interface.name)
        if interface:
            self._ovsdb.wait_until_gone(interface.name)
        # The L2 agent takes a port away by itself when its binding moves to another host, and the
        # record with it.
        for name in between:
            netlink.delete_link(name)
        if owner:
            self._remove_vm_if_empty(owner.instance_id)
        return True

    def _remove_vm_if_empty(self, instance_id: str) -> None:
        with self._vms.held(instance_id):
            if instance_id in {
                owner.instance_id for owner in view.owners(netlink.links()).values()
            }:
                return
            if netns.exists(instance_id):
                inside = netns.identity(instance_id)
                # Without its name nobody enters it any more, so what is killed stays so.
                netns.delete(instance_id)
                processes.kill(inside)
            else:
                netns.delete(instance_id)
            self._guest(instance_id).delete()

    def _make_nic(self, record: Record) -> None:
        vif, instance_id = record.vif, record.vm.instance_id
        netlink.create_veth(
            vif.device,
            peer=record.nic,
            namespace=instance_id,
            # As libvirt has it: a bridge takes the lowest MAC of its ports, and never this one.
            mac_address=f"fe{vif.mac_address[2:]}",
            peer_mac=vif.mac_address,
            mtu=vif.mtu,
        )
        # The host itself has no part in the VIF's network: no address there, and no ARP answers.
        netns.write_sysctl(f"net/ipv6/conf/{vif.device}/disable_ipv6", "1")
        netns.write_sysctl(f"net/ipv4/conf/{vif.device}/arp_ignore", "1")
        alias = owner_of(record).alias()
        netlink.set_link(vif.device, alias=alias, up=True)

    def _start_nic(self, record: Record) -> None:
        with netns.entered(record.vm.instance_id):
            if record.vif.vif_details.get("datapath_type") == "netdev":
                # Open vSwitch's userspace datapath drops what the sender left for hardware to sum.
                netlink.disable_tx_checksum(record.nic)
            netlink.set_link("lo", up=True)
            if not record.paused:
                netlink.set_link(record.nic, up=True)

    def _present(self, vif: Vif, vm: Vm) -> Present:
        driver = self._drivers.of(vif)
        links = netlink.find_links(vif.device, *driver.devices(vif.port_id))
        device = links.get(vif.device)
        owner = Owner.of(device) if device else None
        inside = view.look_inside(vm.instance_id)
        nic = inside.nics.get(owner.nic) if owner else None
        return Present(
            netns=inside.exists,
            nics=frozenset(inside.nics),
            device=device,
            nic=nic,
            addresses=frozenset(inside.addresses.get(nic.name, ()) if nic else ()),
            connected=driver.is_connected(vif, links),
            interface=self._ovsdb.find(vif.port_id),
        )

    def _free_nic(self, vm: Vm, present: Present, nic: str) -> str:
        # After a restart of the host some of its NICs may stand in OVSDB only.
        taken = present.nics | {record.nic for record in self._ovsdb.records_of(vm.instance_id)}
        return nic if nic and nic not in taken else free_nic(taken)

    def _guest(self, instance_id: str) -> Guest:
        return Guest(instance_id=instance_id, directory=self._folder(instance_id))

    def _folder(self, instance_id: str) -> Path:
        return Path(self._conf.fakevm.state_path, instance_id)

    def _leftover_folders(self) -> list[str]:
        state = Path(self._conf.fakevm.state_path)
        if not state.is_dir():
            return []
        return [entry.name for entry in state.iterdir() if not netns.exists(entry.name)]


def _push(undo: ExitStack, function: Callable[..., object], *arguments: object) -> None:
    """Have an undo done on failure, where its own failure must not hide the first one."""

    def undone() -> None:
        try:
            function(*arguments)
        except (FakevmError, OSError) as error:
            LOG.error("undoing: %s", error)

    undo.callback(undone)


def _not_plugged(port_id: str) -> NotFoundError:
    return NotFoundError(
        f"port {port_id} is not plugged on this host", hint=f"fakevm plug {port_id}"
    )
