"""Shelve, offloaded at once, and unshelve: between them the VM is on no host."""

from __future__ import annotations

from fakevm.migrate.move import SETTLING, Move, bind_by_host_id, unplug_source
from fakevm.migrate.spawn import SPAWN, UNPLUG
from fakevm.protocol.steps import Protocol, Step, Undo
from fakevm.vms.boot import without_device


def switch_off(move: Move) -> None:
    """Let the guest be silent, unless it is paused; it does not come back with what it had."""
    assert move.source
    if not _paused(move):
        move.state = move.source.suspend(move.vm.instance_id)


def switch_on(move: Move) -> None:
    """Let the guest go on, as if nothing had been; one that was paused stays so."""
    assert move.source
    if not _paused(move):
        move.source.resume(move.vm.instance_id, move.state, rarp=False)


def _paused(move: Move) -> bool:
    return any(nic.guest is not None and nic.guest.paused for nic in move.nics)


def remember(move: Move) -> None:
    """Have Nova keep what no host can tell of a VM that is on none."""
    move.events.register_vm(
        move.vm,
        host=None,
        nics=[nic.port.id for nic in move.nics],
        given=[nic.port.id for nic in move.nics if nic.preserve_on_delete],
    )


def leave_shelved(move: Move) -> None:
    """Have Nova call the VM shelved, though its ports stay bound (a FIXME of Nova's own)."""
    move.events.register(move.vm.instance_id, host=None)


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
    """Bind every port to the host that gets the VM; Nova knows it there from now on."""
    move.events.register_vm(move.vm, host=move.destination_name)
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
            name="remember",
            actor="source",
            source="ComputeManager._shelve_offload_instance: instance.host = None",
            act=remember,
        ),
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

# Of one whose guest does not start the ports stay bound, as Nova leaves them; it stays shelved.
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
    rollback=(
        UNPLUG,
        Undo(
            of="bind",
            name="leave it shelved",
            actor="destination",
            source="ComputeManager._unshelve_instance",
            act=leave_shelved,
        ),
    ),
)
