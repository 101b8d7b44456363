"""Live migration: nova/compute/manager.py, LiveMigrationTask, and libvirt's part."""

from __future__ import annotations

import time
from dataclasses import replace

from fakevm.errors import ConflictError, FakevmError
from fakevm.migrate.move import (
    SETTLING,
    Move,
    Nic,
    announce,
    bind_by_host_id,
    bring_back,
    plug_anew,
    plug_destination,
    register_waiters,
    unbind_source,
    unplug_destination,
    unplug_source,
    wait_until_plugged,
    withdraw,
)
from fakevm.protocol.steps import Protocol, Step, Undo

# What Nova writes into the destination's binding, and nothing of the source's profile
# (nova/objects/migrate_data.py, VIFMigrateData: OS_VIF_DELEGATION).
PROFILE = {"os_vif_delegation": True}

# How often the source is asked whether it has cut off a VIF.
CUT_OFF_POLL_S = 0.1


def bind(move: Move) -> None:
    """Give each port an inactive binding to the destination: all of them, or none."""
    for nic in move.nics:
        move.answers[nic.port.id] = move.neutron.create_binding(
            nic.port.id,
            move.destination_name,
            vnic_type=nic.port.vnic_type,
            profile=PROFILE,
        )


def unbind(move: Move) -> None:
    """Delete the destination's bindings, those that were made."""
    for nic in move.listed:
        if nic.port.id in move.answers:
            move.neutron.delete_binding(nic.port.id, move.destination_name)


def plug(move: Move) -> None:
    """Plug each NIC on the destination, where the guest does not run yet."""
    plug_destination(move, paused=True)


def announce_unless_switched_off(move: Move) -> None:
    """Write `migrating_to` into each port's profile: only then does the L2 agent wire it there."""
    if move.switches.migrating_to:
        announce(move)


def pause(move: Move) -> None:
    """Pause the guest at the source: its memory has been copied, or the last of it will be."""
    assert move.source
    move.state = move.source.suspend(move.vm.instance_id)


def run_at_source(move: Move) -> None:
    """Let the guest run where it was."""
    assert move.source
    # Content if it runs: perhaps it was never paused, or the answer to that was lost.
    move.source.resume(move.vm.instance_id, move.state, rarp=False)


def activate(move: Move) -> None:
    """Make the destination's bindings the active ones: from here on the VM is there.

    What Neutron can't tell is left to `finish`. nova: neutron.API.migrate_instance_start.
    """
    for nic in move.nics:
        move.activating_at = move.activating_at or time.time()
        try:
            binding = move.neutron.binding(nic.port.id, move.destination_name)
        except FakevmError as error:
            move.warn(f"port {nic.port.id} is not activated: {error}")
            continue
        if binding is None:
            # So has none of the others.
            break
        if binding.active:
            continue
        try:
            move.neutron.activate_binding(nic.port.id, move.destination_name)
        except ConflictError as error:
            # It was done meanwhile.
            move.warn(f"port {nic.port.id}: {error}")
    move.activated_at = move.activated_at or time.time()


def deactivate(move: Move) -> None:
    """Bring those NICs back whose bindings were activated before another's failed."""
    source = move.source
    assert source
    back: list[Nic] = []
    for nic in move.nics:
        binding = move.neutron.binding(nic.port.id, move.destination_name)
        if binding is not None and binding.active:
            bring_back(move.neutron, move.neutron.port(nic.port.id), move.source_name)
            back.append(nic)
    deadline = time.monotonic() + move.cuts_off_within_s
    for nic in back:
        # What is plugged before the source has cut it off would be cut off, too.
        while time.monotonic() < deadline and any(not v.error for v in source.vifs(nic.port.id)):
            time.sleep(CUT_OFF_POLL_S)
        plug_anew(source, move.vif(nic, nic.port), move.vm, paused=True, nic=nic.name)


def resume(move: Move) -> None:
    """Let the guest run on the destination, with all that it had, and announce itself."""
    move.resumed_at = move.destination.resume(
        move.vm.instance_id, move.state, rarp=move.switches.rarp
    )


def finish(move: Move) -> None:
    """Write `binding:host_id` where it is not the destination by now: normally nowhere."""
    for nic in move.listed:
        port = move.neutron.port(nic.port.id)
        if port.host != move.destination_name or not port.bound:
            bind_by_host_id(move, [replace(nic, port=port)], move.destination_name)


_BIND = Step(
    name="bind",
    actor="conductor",
    source="LiveMigrationTask._bind_ports_on_destination",
    act=bind,
)
_REGISTER = Step(
    name="register",
    actor="source",
    source="ComputeManager._do_pre_live_migration_from_source",
    act=register_waiters,
)
_PLUG = Step(
    name="plug",
    actor="destination",
    source="LibvirtDriver._pre_live_migration_plug_vifs",
    act=plug,
)
_ANNOUNCE = Step(
    name="announce",
    actor="destination",
    source="neutron.API.setup_networks_on_host",
    act=announce_unless_switched_off,
)
_WAIT = Step(
    name="wait",
    actor="source",
    source="ComputeManager._do_pre_live_migration_from_source",
    act=wait_until_plugged,
    waits=True,
)
_PAUSE = Step(
    name="pause",
    actor="source",
    source="libvirt: VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED, _POSTCOPY",
    act=pause,
)
_ACTIVATE = Step(
    name="activate",
    actor="source",
    source="ComputeManager.handle_lifecycle_event, neutron.API.migrate_instance_start",
    act=activate,
)
_RESUME = Step(
    name="resume",
    actor="destination",
    source="QEMU: migration's end, net/announce.c",
    act=resume,
)
_AFTER = (
    Step(
        name="activate again",
        actor="source",
        source="ComputeManager._post_live_migration, neutron.API.migrate_instance_start",
        act=activate,
    ),
    Step(
        name="unplug",
        actor="source",
        source="LibvirtDriver.post_live_migration_at_source",
        act=unplug_source,
    ),
    Step(
        name="finish",
        actor="destination",
        source="neutron.API.migrate_instance_finish",
        act=finish,
    ),
    Step(
        name="unbind",
        actor="destination",
        source="neutron.API.setup_networks_on_host(teardown=True)",
        act=unbind_source,
    ),
    *SETTLING,
)
# As recorded: the profile, the binding, and only then the unplug.
_ROLLBACK = (
    Undo(
        of="activate",
        name="activate the source",
        actor="source",
        source="fakevm: of several ports some were activated",
        act=deactivate,
    ),
    Undo(
        of="pause",
        name="resume at the source",
        actor="source",
        source="QEMU: a migration that failed",
        act=run_at_source,
    ),
    Undo(
        of="announce",
        name="withdraw",
        actor="destination",
        source="neutron.API._clear_migration_port_profile",
        act=withdraw,
    ),
    Undo(
        of="bind",
        name="unbind the destination",
        actor="destination",
        source="neutron.API._delete_port_bindings",
        act=unbind,
    ),
    Undo(
        of="plug",
        name="unplug the destination",
        actor="destination",
        source="LibvirtDriver.rollback_live_migration_at_destination",
        act=unplug_destination,
    ),
)

# The guest stands still while the binding is activated.
PRE_COPY = Protocol(
    name="live",
    steps=(_BIND, _REGISTER, _PLUG, _ANNOUNCE, _WAIT, _PAUSE, _ACTIVATE),
    after=(_RESUME, *_AFTER),
    rollback=_ROLLBACK,
)

# It runs on the destination at once, and its memory follows: there is no way back from there.
POST_COPY = Protocol(
    name="live, post-copy",
    steps=(_BIND, _REGISTER, _PLUG, _ANNOUNCE, _WAIT, _PAUSE, _RESUME),
    after=(_ACTIVATE, *_AFTER),
    rollback=tuple(undo for undo in _ROLLBACK if undo.of != "activate"),
)
