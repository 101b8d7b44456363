"""Cold migration: the VM is off while it moves, and boots on the other host."""

from __future__ import annotations

from dataclasses import replace

from fakevm.migrate.move import (
    SETTLING,
    Move,
    bind_by_host_id,
    configure,
    plug_destination,
    unbind_source,
    unplug_destination,
    unplug_source,
)
from fakevm.migrate.spawn import SPAWN, UNPLUG
from fakevm.protocol.steps import Protocol, Step, Undo


def look_for_binding(move: Move) -> None:
    """Look for a binding to the destination, which a cold migration does not have (404).

    Of the first NIC alone: Nova returns then.
    """
    move.neutron.binding(move.nics[0].port.id, move.destination_name)


def bind(move: Move) -> None:
    """Bind every port to the destination."""
    bind_by_host_id(move, move.listed, move.destination_name)


def plug(move: Move) -> None:
    """Plug every NIC on the destination, and boot: Nova does not wait (vifs_already_plugged)."""
    plug_destination(move, paused=False)


def confirm(move: Move) -> None:
    """Delete the source's bindings, of which there are none (404), and unplug there once more."""
    unbind_source(move)
    if move.source:
        unplug_source(move)


def look_at_bindings(move: Move) -> None:
    """Look at the active bindings before the way back, as if one could be activated."""
    for nic in move.nics:
        move.neutron.binding(nic.port.id, move.source_name)


def boot_at_source(move: Move) -> None:
    """Bind the ports back, plug, wait and boot where the VM was, as a revert does."""
    assert move.source
    there = [
        nic
        for nic in move.listed
        if (port := move.neutron.port(nic.port.id)).host != move.source_name or not port.bound
    ]
    bind_by_host_id(move, there, move.source_name)
    back = replace(
        move,
        answers={nic.port.id: move.answers.get(nic.port.id, nic.port) for nic in move.nics},
        destination=move.source,
        destination_name=move.source_name,
    )
    for step in SPAWN:
        step.act(back)
    configure(back)


CONFIRM: Step[Move] = Step(
    name="confirm",
    actor="source",
    source="ComputeManager._confirm_resize, neutron.API.setup_networks_on_host(teardown=True)",
    act=confirm,
)

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
        CONFIRM,
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

# The user looks at the VM first, and then confirms or reverts.
UNCONFIRMED = replace(COLD, after=SETTLING)

# From where it is now, the source here, to where it came from.
REVERT = Protocol(
    name="revert",
    steps=(
        Step(
            name="look at the bindings",
            actor="source",
            source="ComputeManager.revert_resize, neutron.API.migrate_instance_start",
            act=look_at_bindings,
        ),
        Step(
            name="unplug",
            actor="source",
            source="ComputeManager.revert_resize, LibvirtDriver.destroy",
            act=unplug_source,
        ),
        Step(
            name="bind",
            actor="destination",
            source="ComputeManager._finish_revert_resize, neutron.API.migrate_instance_finish",
            act=bind,
        ),
        *SPAWN,
    ),
    after=SETTLING,
    rollback=(UNPLUG,),
)
