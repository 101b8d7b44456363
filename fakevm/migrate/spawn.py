"""A guest is started on the destination as at a boot: paused until Neutron says it is plugged."""

from __future__ import annotations

from fakevm.migrate.move import (
    Move,
    plug_destination,
    register_waiters,
    unplug_destination,
    wait_until_plugged,
)
from fakevm.protocol.steps import Step, Undo


def register(move: Move) -> None:
    """Wait for the events of those VIFs that are not ACTIVE by now, before the plug.

    Of one whose L2 agent was quicker the event has been, and is lost; of one that is
    administratively down none comes (neutron.API._build_vif_model). Nova reads the ports anew
    after it bound them, and waits only for those that were not active then
    (LibvirtDriver._get_neutron_events). It reads first and registers then; here no event is lost
    between the two, which would only be by chance.
    """
    register_waiters(move, [nic for nic in move.nics if nic.port.admin_state_up])
    assert move.waiter
    move.waiter.leave_out(
        [i for i in move.waiter.missing if move.neutron.port(i).status == "ACTIVE"]
    )


def plug(move: Move) -> None:
    """Plug every NIC, the guest being paused until Neutron says that its network is there."""
    plug_destination(move, paused=True)


def boot(move: Move) -> None:
    """Let the guest run."""
    move.destination.resume(move.vm.instance_id, rarp=False)


REGISTER: Step[Move] = Step(
    name="register",
    actor="destination",
    source="LibvirtDriver._create_guest_with_network",
    act=register,
)
PLUG: Step[Move] = Step(name="plug", actor="destination", source="LibvirtDriver.spawn", act=plug)
WAIT: Step[Move] = Step(
    name="wait",
    actor="destination",
    source="LibvirtDriver._create_guest_with_network",
    act=wait_until_plugged,
    waits=True,
)
BOOT: Step[Move] = Step(
    name="boot",
    actor="destination",
    source="LibvirtDriver._create_guest_with_network",
    act=boot,
)
SPAWN = (REGISTER, PLUG, WAIT, BOOT)

# The binding stays, as Nova leaves it.
UNPLUG = Undo(
    of="plug",
    name="unplug the destination",
    actor="destination",
    source="LibvirtDriver._cleanup_failed_start",
    act=unplug_destination,
)
