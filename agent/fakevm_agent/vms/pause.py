"""A VM is paused and goes on: all its NICs at once."""

import signal
import time
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import replace

from fakevm.errors import ConflictError, FakevmError
from fakevm.model import GuestState
from fakevm_agent.guest import addressing
from fakevm_agent.host.parts import Host
from fakevm_agent.host.undo import push
from fakevm_agent.kernel import ip, netns, processes
from fakevm_agent.plans.plan import default_routes, static_addresses
from fakevm_agent.protocol import wire
from fakevm_agent.records import Record
from fakevm_agent.suspend import state


def suspend(host: Host, instance_id: str, *, keep: bool = False) -> GuestState:
    """Pause a VM: set all its NICs down; return what it had.

    With `keep` it goes on here: its processes are stopped, and what it had is written down.
    """
    with host.all_ports_held(instance_id) as records:
        if any(record.paused for record in records):
            raise ConflictError(f"VM {records[0].vm.name} is paused")
        host.announcer.stop(instance_id)
        guest = host.guest(instance_id)
        others = addressing.other_processes(guest)
        nics = {record.vif.port_id: (record.nic, record.vif.mtu) for record in records}
        with ExitStack() as undo:
            if keep:
                push(undo, _let_run, instance_id)
                processes.stop(netns.identity(instance_id))
            with netns.entered(instance_id):
                found = state.suspend(nics, processes=others, files=guest.carried())
            push(undo, _go_on, instance_id, records, found)
            if keep:
                push(undo, guest.forget)
                guest.keep(wire.dump_text(found))
            _remember_paused(host, records, paused=True)
            undo.pop_all()
    return found


def resume(host: Host, instance_id: str, given: GuestState | None, *, rarp: bool) -> float:
    """Let a paused VM go on, with what it had, or was kept, or as it boots; content if it runs.

    Returns when its last NIC was up.
    """
    with host.all_ports_held(instance_id) as records:
        if not any(record.paused for record in records):
            return time.time()
        nics = {record.vif.port_id: record.nic for record in records}
        guest = host.guest(instance_id)
        kept = guest.kept()
        if given:
            there = {nic.nic: nics.get(nic.port_id, nic.nic) for nic in given.nics}
            guest.take_over(given.files, nics=there)
        elif kept:
            given = wire.parse_text(GuestState, kept)
        with netns.entered(instance_id):
            now, refused = state.resume(nics, given)
            if rarp:
                macs = {record.nic: record.vif.mac_address for record in records}
                host.announcer.start(instance_id, macs)
            if given is None:
                _set_static_addresses(records)
        if given is None:
            _start_clients_anew(host, records)
        _remember_paused(host, records, paused=False)
        if kept:
            _let_run(instance_id)
            guest.forget()
    if refused:
        raise FakevmError(
            f"VM {records[0].vm.name} runs, but the kernel refused of what it had: "
            f"{', '.join(refused)}"
        )
    return now


def _remember_paused(host: Host, records: Collection[Record], *, paused: bool) -> None:
    host.remember(replace(record, paused=paused) for record in records if record.paused != paused)


def _go_on(instance_id: str, records: Collection[Record], found: GuestState) -> None:
    """Let a guest run whose pause could not be written down."""
    with netns.entered(instance_id):
        state.resume({record.vif.port_id: record.nic for record in records}, found)


def _let_run(instance_id: str) -> None:
    processes.signal_all(netns.identity(instance_id), signal.SIGCONT)


def _set_static_addresses(records: Collection[Record]) -> None:
    for record in records:
        static = static_addresses(record.vif)
        if static:
            routes = default_routes(record.nic, static)
            ip.set_addresses(record.nic, add=static, remove=(), routes=routes)


def _start_clients_anew(host: Host, records: Collection[Record]) -> None:
    """Let the DHCP clients of a guest that was paused set again what its NICs have lost."""
    for record in records:
        guest = host.guest(record.vm.instance_id)
        addressing.stop(record.nic, guest)
        if record.configured:
            addressing.start(record, guest, host.spawner)
