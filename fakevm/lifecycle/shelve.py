"""Shelve, offloaded at once, and unshelve: between them the VM is on no host."""

from __future__ import annotations

from fakevm.migrate.move import SETTLING, Move, bind_by_host_id, unplug_source
from fakevm.migrate.spawn import SPAWN, UNPLUG
from fakevm.protocol.steps import Protocol, Step, Undo
from fakevm.vms.boot import without_device


def switch_off(move: Move) -> None:
    """Let the guest be silent; it does not come back with what it had."""
    assert move.source
    move.state = move.source.suspend(move.vm.instance_id)


def switch_on(move: Move) -> None:
    """Let the guest go on, as if nothing had been."""
    assert move.source
    move.source.resume(move.vm.instance_id, move.state, rarp=False)


def unbind(move: Move) -> None:
    """Take every port from the host; its VM stays its owner."""
    for nic in move.nics:
        profile = without_device(move.neutron.port(nic.port.id).profile)
        body = {"binding:host_id": None, "binding:profile": profile}
        move.neutron.update_port(nic.port.id, body)


def bind_again(move: Move) -> None:
    """Bind those to the host that were unbound before another one failed."""
    lost = [nic for nic in move.listed if not move.neutron.port(nic.port.id).host]
    bind_by_host_id(move, lost, move.source_name)


def bind(move: Move) -> None:
    """Bind every port to the host that gets the VM."""
    bind_by_host_id(move, move.listed, move.destination_name)


SHELVE = Protocol(
    name="shelve",
    steps=(
        Step(
            name="switch off",
            actor="source",
            source="ComputeManager._shelve_instance",
            act=switch_off,
        ),
        Step(name="unbind", actor="source", source="neutron.API.unbind_ports", act=unbind),
    ),
    after=(
        Step(
            name="unplug",
            actor="source",
            source="ComputeManager._shelve_offload_instance, LibvirtDriver.destroy",
            act=unplug_source,
        ),
    ),
    rollback=(
        Undo(
            of="unbind",
            name="bind again",
            actor="source",
            source="fakevm: of several ports some were unbound",
            act=bind_again,
        ),
        Undo(
            of="switch off",
            name="switch on",
            actor="source",
            source="fakevm: the VM goes on",
            act=switch_on,
        ),
    ),
)

# Of one whose guest does not start the ports stay bound, as Nova leaves them.
UNSHELVE = Protocol(
    name="unshelve",
    steps=(
        Step(
            name="bind",
            actor="destination",
            source="neutron.API.setup_instance_network_on_host",
            act=bind,
        ),
        *SPAWN,
    ),
    after=SETTLING,
    rollback=(UNPLUG,),
)
