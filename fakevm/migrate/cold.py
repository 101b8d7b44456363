"""Cold migration: the VM is off while it moves, and boots on the other host."""

from __future__ import annotations

from dataclasses import replace

from fakevm.migrate.move import (
    SETTLING,
    Move,
    bind_by_host_id,
    configure,
    plug_destination,
    register_waiters,
    unbind_source,
    unplug_destination,
    unplug_source,
    wait_until_plugged,
)
from fakevm.protocol.steps import Protocol, Step, Undo


def look_for_binding(move: Move) -> None:
    """Look for a binding to the destination, which a cold migration does not have (404)."""
    for nic in move.nics:
        move.neutron.binding(nic.port.id, move.destination_name)


def bind(move: Move) -> None:
    """Bind every port to the destination."""
    bind_by_host_id(move, move.listed, move.destination_name)


def plug(move: Move) -> None:
    """Plug every NIC on the destination, and boot: Nova does not wait (vifs_already_plugged)."""
    plug_destination(move, paused=False)


def boot_at_source(move: Move) -> None:
    """Bind the ports back, plug, wait and boot where the VM was, as the revert of a resize does."""
    there = [
        nic
        for nic in move.listed
        if (port := move.neutron.port(nic.port.id)).host != move.source_name or not port.bound
    ]
    bind_by_host_id(move, there, move.source_name)
    register_waiters(move)
    assert move.source
    for nic in move.nics:
        answer = move.answers.get(nic.port.id, nic.port)
        move.source.plug(move.vif(nic, answer), move.vm, paused=True, nic=nic.name)
    if there:
        wait_until_plugged(move, move.source_name)
    move.source.resume(move.vm.instance_id, rarp=False)
    source_again = replace(move, destination=move.source, destination_name=move.source_name)
    configure(source_again)


COLD = Protocol(
    name="cold",
    steps=(
        Step(
            name="unplug",
            actor="source",
            source="LibvirtDriver.migrate_disk_and_power_off",
            act=unplug_source,
        ),
        Step(
            name="look for a binding",
            actor="source",
            source="neutron.API.migrate_instance_start",
            act=look_for_binding,
        ),
        Step(
            name="bind",
            actor="destination",
            source="neutron.API.migrate_instance_finish",
            act=bind,
        ),
        Step(name="plug", actor="destination", source="LibvirtDriver.finish_migration", act=plug),
    ),
    after=(
        Step(
            name="confirm",
            actor="source",
            source="ComputeManager._confirm_resize,"
            " neutron.API.setup_networks_on_host(teardown=True)",
            act=unbind_source,
        ),
        *SETTLING,
    ),
    rollback=(
        Undo(
            of="plug",
            name="unplug the destination",
            actor="destination",
            source="ComputeManager.revert_resize",
            act=unplug_destination,
        ),
        Undo(
            of="unplug",
            name="boot at the source",
            actor="source",
            source="ComputeManager._finish_revert_resize",
            act=boot_at_source,
        ),
    ),
)
