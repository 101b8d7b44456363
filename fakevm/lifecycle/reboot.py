"""Hard reboot and rebuild: the VM goes and comes on its host, and nothing is written to Neutron."""

from __future__ import annotations

from dataclasses import replace

from fakevm.errors import for_each
from fakevm.migrate.move import (
    SETTLING,
    Move,
    Nic,
    has_clients,
    plug_destination,
    plug_nic,
    register_waiters,
    unplug_source,
)
from fakevm.migrate.spawn import BOOT, PLUG, WAIT
from fakevm.protocol.steps import Protocol, Step, Undo
from fakevm.vms.boot import start_clients


def plug_and_start(move: Move) -> None:
    """Plug every NIC by the binding that it has, and start: Nova waits for nothing."""
    plug_destination(move, paused=False)


def plug_again(move: Move) -> None:
    """Plug every NIC, whatever becomes of the others, and start the clients that it had."""

    def again(nic: Nic) -> None:
        plug_nic(move, nic, paused=False)
        if has_clients(nic):
            start_clients(move.destination, nic.port.id)

    for_each(move.nics, again)


def register(move: Move) -> None:
    """Wait for the events of those VIFs that were not ACTIVE when Nova read them last.

    Before the unplug: nothing is read anew after it, so of the others no event is expected.
    """
    down = [n for n in move.nics if n.port.admin_state_up and n.port.status != "ACTIVE"]
    register_waiters(move, down)


UNPLUG: Step[Move] = Step(
    name="unplug", actor="source", source="LibvirtDriver.destroy", act=unplug_source
)

_SETTLING = tuple(replace(step, actor="source") for step in SETTLING)

# What was unplugged is plugged again, so that the VM is not lost with a plug that failed.
_PLUG_AGAIN: Undo[Move] = Undo(
    of="unplug",
    name="plug again",
    actor="source",
    source="fakevm: Nova leaves the VM in ERROR",
    act=plug_again,
)

HARD_REBOOT = Protocol(
    name="reboot",
    steps=(
        UNPLUG,
        Step(name="plug", actor="source", source="LibvirtDriver._hard_reboot", act=plug_and_start),
    ),
    after=_SETTLING,
    rollback=(_PLUG_AGAIN,),
)

REBUILD = Protocol(
    name="rebuild",
    steps=(
        Step(
            name="register",
            actor="source",
            source="LibvirtDriver._create_guest_with_network",
            act=register,
        ),
        UNPLUG,
        *(replace(step, actor="source") for step in (PLUG, WAIT, BOOT)),
    ),
    after=_SETTLING,
    rollback=(_PLUG_AGAIN,),
)
