"""Evacuation: the VM's host is down, and the VM is built again on another one."""

from __future__ import annotations

from dataclasses import replace

from fakevm.migrate.move import (
    SETTLING,
    Move,
    announce,
    bind_by_host_id,
    plug_destination,
    register_waiters,
    unplug_destination,
    wait_until_plugged,
    withdraw,
)
from fakevm.protocol.steps import Protocol, Step, Undo


def announce_and_remember(move: Move) -> None:
    """Write `migrating_to` into each port's profile, from which `bind` takes it again."""
    move.answers.update(announce(move))


def bind(move: Move) -> None:
    """Bind every port to the destination, without `migrating_to` again."""
    bind_by_host_id(
        move,
        [replace(nic, port=move.port(nic)) for nic in move.listed],
        move.destination_name,
    )


def plug(move: Move) -> None:
    """Plug every NIC, the guest being paused until Neutron says that its network is there."""
    plug_destination(move, paused=True)


def boot(move: Move) -> None:
    """Let the guest run."""
    move.destination.resume(move.vm.instance_id, rarp=False)


EVACUATE = Protocol(
    name="evacuate",
    steps=(
        Step(
            name="announce",
            actor="destination",
            source="neutron.API.setup_networks_on_host",
            act=announce_and_remember,
        ),
        Step(
            name="bind",
            actor="destination",
            source="neutron.API.setup_instance_network_on_host",
            act=bind,
        ),
        Step(
            name="register",
            actor="destination",
            source="LibvirtDriver._create_guest_with_network",
            act=register_waiters,
        ),
        Step(name="plug", actor="destination", source="LibvirtDriver.spawn", act=plug),
        Step(
            name="wait",
            actor="destination",
            source="LibvirtDriver._create_guest_with_network",
            act=wait_until_plugged,
            waits=True,
        ),
        Step(
            name="boot",
            actor="destination",
            source="LibvirtDriver._create_guest_with_network",
            act=boot,
        ),
    ),
    after=(*SETTLING,),
    # The binding stays at the destination, as Nova leaves it: the source is down.
    rollback=(
        Undo(
            of="plug",
            name="unplug the destination",
            actor="destination",
            source="LibvirtDriver._cleanup_failed_start",
            act=unplug_destination,
        ),
        Undo(
            of="announce",
            name="withdraw",
            actor="destination",
            source="neutron.API._clear_migration_port_profile",
            act=withdraw,
        ),
    ),
)
