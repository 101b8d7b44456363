"""Live migration: its steps as values, carried out in order, undone on failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from fakevm import vifs
from fakevm.errors import ConfigError, ConflictError, FakevmError, WaitTimeoutError
from fakevm.interrupt import deferred
from fakevm.model import GuestState, PluggedVif, Vif, Vm
from fakevm.neutron import Binding, Network, Port

# How often the destination is asked whether its L2 agent has wired the NICs; an answer takes 5 ms.
POLL_S = 0.1

MIGRATING_TO = "migrating_to"

T = TypeVar("T")

Actor = Literal["conductor", "source", "destination"]


class Bindings(Protocol):
    """What a migration needs of Neutron."""

    def port(self, port_id: str) -> Port:
        """Return a port."""

    def update_port(self, port_id: str, body: Mapping[str, Any]) -> Port:
        """Change a port."""

    def bindings(self, port_id: str) -> list[Binding]:
        """Return a port's bindings."""

    def create_binding(
        self, port_id: str, host: str, *, vnic_type: str, profile: Mapping[str, Any]
    ) -> Binding:
        """Bind a port to a second host."""

    def activate_binding(self, port_id: str, host: str) -> None:
        """Make a binding the active one."""

    def delete_binding(self, port_id: str, host: str) -> None:
        """Delete a binding; content if it is gone."""

    def wait_until_active(self, port_id: str, *, timeout_s: float) -> None:
        """Wait for a port's status ACTIVE."""


class Host(Protocol):
    """What a migration needs of a host's agent."""

    def vifs(self, port_id: str | None = None) -> list[PluggedVif]:
        """Return what is plugged."""

    def plug(self, vif: Vif, vm: Vm, *, paused: bool = False, nic: str = "") -> object:
        """Plug a VIF."""

    def suspend(self, instance_id: str) -> GuestState:
        """Pause the VM."""

    def resume(
        self, instance_id: str, state: GuestState | None = None, *, rarp: bool = True
    ) -> object:
        """Let the VM go on."""

    def configure(self, port_id: str, *, timeout_s: float) -> object:
        """Start a NIC's clients and wait for its addresses."""

    def unplug(self, port_id: str) -> bool:
        """Unplug a port."""


@dataclass(frozen=True, kw_only=True)
class Nic:
    """One of the VM's NICs, as it was at the source before."""

    port: Port
    network: Network
    guest: PluggedVif
    bindings: tuple[Binding, ...]


@dataclass(kw_only=True)
class Migration:
    """A VM on its way. `answers` are the destination's bindings, by port, once they are made."""

    vm: Vm
    nics: tuple[Nic, ...]
    source_name: str
    destination_name: str
    neutron: Bindings
    source: Host
    destination: Host
    timeout_s: float
    answers: dict[str, Binding] = field(default_factory=dict)
    # What the guest had when it was paused.
    state: GuestState | None = None
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, kw_only=True)
class Step:
    """One act of a migration. `undo` is content where the act did nothing, or only a part."""

    name: str
    actor: Actor
    act: Callable[[Migration], None]
    undo: Callable[[Migration], None] | None = None
    # Only waits, so that Ctrl-C may come in between. A request that is cut off is carried out all
    # the same, and perhaps after its undo.
    waits: bool = False


def check(source: str, destination: str) -> None:
    """Refuse a migration to nowhere or to where the VM is."""
    if not destination:
        raise ConfigError("a migration needs a destination host")
    if source == destination:
        raise ConflictError(f"the VM is on {destination} already")


def bind(migration: Migration) -> None:
    """Give each port an inactive binding to the destination.

    nova: LiveMigrationTask._bind_ports_on_destination, API.bind_ports_to_host.
    """
    for nic in migration.nics:
        for binding in nic.bindings:
            if not binding.active:
                # Of a migration that was killed, to here or elsewhere; this one must see a fresh
                # answer.
                migration.neutron.delete_binding(nic.port.id, binding.host)
        migration.answers[nic.port.id] = migration.neutron.create_binding(
            nic.port.id,
            migration.destination_name,
            vnic_type=nic.port.vnic_type,
            profile=_without_migrating_to(nic.port.profile),
        )


def unbind(migration: Migration) -> None:
    """Delete the destination's bindings."""
    for nic in migration.nics:
        migration.neutron.delete_binding(nic.port.id, migration.destination_name)


def plug(migration: Migration) -> None:
    """Plug each NIC on the destination, the guest being paused.

    nova: ComputeManager.pre_live_migration, _pre_live_migration_plug_vifs.
    """
    for nic in migration.nics:
        binding = migration.answers[nic.port.id]
        migration.destination.plug(
            vifs.vif(nic.port, nic.network, binding, nic.guest.fixed_ips),
            migration.vm,
            paused=True,
            nic=nic.guest.nic,
        )


def unplug_destination(migration: Migration) -> None:
    """Take the NICs off the destination."""
    for nic in migration.nics:
        migration.destination.unplug(nic.port.id)


def announce(migration: Migration) -> None:
    """Write `migrating_to` into each port's profile: only then does the L2 agent wire it there.

    nova: API.setup_networks_on_host, after the plug.
    """
    for nic in migration.nics:
        profile = {**nic.port.profile, MIGRATING_TO: migration.destination_name}
        migration.neutron.update_port(nic.port.id, {"binding:profile": profile})


def withdraw(migration: Migration) -> None:
    """Take `migrating_to` out of the profiles."""
    for nic in migration.nics:
        profile = migration.neutron.port(nic.port.id).profile
        # Each write of the profile binds the port anew, which takes it DOWN for a moment.
        if MIGRATING_TO in profile:
            body = {"binding:profile": _without_migrating_to(profile)}
            migration.neutron.update_port(nic.port.id, body)


def wait_until_wired(migration: Migration) -> None:
    """Wait until the destination's L2 agent has wired every NIC.

    nova waits for network-vif-plugged, which Neutron sends for what the agent reports just after
    it gave the port its local VLAN; that VLAN is what is looked at here.
    """
    deadline = time.monotonic() + migration.timeout_s
    waiting = [nic.port.id for nic in migration.nics]
    while waiting := [port_id for port_id in waiting if not _wired(migration, port_id)]:
        if time.monotonic() > deadline:
            raise WaitTimeoutError(
                f"{migration.destination_name}: the L2 agent has not wired port"
                f" {', '.join(waiting)} within {migration.timeout_s:g} s",
                hint="fakevm status",
            )
        migration.sleep(POLL_S)


def _wired(migration: Migration, port_id: str) -> bool:
    found = migration.destination.vifs(port_id)
    if not found:
        raise ConflictError(f"{migration.destination_name} has lost port {port_id}")
    if found[0].error:
        raise FakevmError(f"{migration.destination_name}: port {port_id}: {found[0].error}")
    return found[0].vlan_tag is not None


def activate(migration: Migration) -> None:
    """Make the destination's bindings the active ones: from here on the VM is there.

    nova: API.migrate_instance_start.
    """
    for nic in migration.nics:
        migration.neutron.activate_binding(nic.port.id, migration.destination_name)


def deactivate(migration: Migration) -> None:
    """Bring those NICs back whose bindings were activated before another's failed."""
    for nic in migration.nics:
        bindings = migration.neutron.bindings(nic.port.id)
        if any(b.active and b.host == migration.destination_name for b in bindings):
            migration.neutron.activate_binding(nic.port.id, migration.source_name)
            # The source's L2 agent deletes the OVS port of a binding that is not active any more.
            back = vifs.vif(nic.port, nic.network, nic.port, nic.guest.fixed_ips)
            migration.source.plug(back, migration.vm, paused=True)


def suspend(migration: Migration) -> None:
    """Pause the guest on the source."""
    migration.state = migration.source.suspend(migration.vm.instance_id)


def resume_source(migration: Migration) -> None:
    """Let the guest go on where it was."""
    migration.source.resume(migration.vm.instance_id, migration.state)


def resume(migration: Migration) -> None:
    """Let the guest go on at the destination, with all that it had."""
    migration.destination.resume(migration.vm.instance_id, migration.state)


def unplug_source(migration: Migration) -> None:
    """Unplug on the source.

    nova: ComputeManager._post_live_migration, post_live_migration_at_source.
    """
    _for_each(migration.nics, lambda nic: migration.source.unplug(nic.port.id))


def unbind_source(migration: Migration) -> None:
    """Delete the source's bindings.

    nova: API.setup_networks_on_host with teardown, from post_live_migration_at_destination.
    """
    _for_each(
        migration.nics,
        lambda nic: migration.neutron.delete_binding(nic.port.id, migration.source_name),
    )


def wait_until_active(migration: Migration) -> None:
    """Wait until Neutron calls every port ACTIVE: now the other hosts know the new place."""
    _for_each(
        [nic for nic in migration.nics if nic.port.admin_state_up],
        lambda nic: migration.neutron.wait_until_active(nic.port.id, timeout_s=migration.timeout_s),
    )


def configure(migration: Migration) -> None:
    """Start the DHCP and SLAAC clients that the VM had at the source."""
    _for_each(
        [nic for nic in migration.nics if nic.guest.configured],
        lambda nic: migration.destination.configure(nic.port.id, timeout_s=migration.timeout_s),
    )


# All that can be taken back; the last one is the point of no return.
TO_ACTIVATION = (
    Step(name="bind", actor="conductor", act=bind, undo=unbind),
    Step(name="plug", actor="destination", act=plug, undo=unplug_destination),
    Step(name="announce", actor="destination", act=announce, undo=withdraw),
    Step(name="wait for the L2 agent", actor="source", act=wait_until_wired, waits=True),
    Step(name="suspend", actor="source", act=suspend, undo=resume_source),
    Step(name="activate", actor="source", act=activate, undo=deactivate),
)

# Each is tried whatever became of those before it: the VM is at the destination.
AFTER_ACTIVATION = (
    Step(name="resume", actor="destination", act=resume),
    Step(name="unplug", actor="source", act=unplug_source),
    Step(name="unbind", actor="destination", act=unbind_source),
    Step(name="wait for ACTIVE", actor="destination", act=wait_until_active),
    Step(name="configure", actor="destination", act=configure),
)


def carry_out(
    migration: Migration,
    *,
    on_step: Callable[[Step], None] = lambda _step: None,
    to_activation: Sequence[Step] = TO_ACTIVATION,
    after_activation: Sequence[Step] = AFTER_ACTIVATION,
) -> None:
    """Move the VM. A failure or Ctrl-C before activation is undone.

    After it Ctrl-C comes too late, and a failure is raised when all else has been done.
    """
    done: list[Step] = []
    with ExitStack() as whole:
        try:
            for step in to_activation:
                on_step(step)
                done.append(step)
                if step is to_activation[-1]:
                    # From its request on nobody knows whether the VM is here or there.
                    whole.enter_context(deferred(forget=True))
                with nullcontext() if step.waits else deferred():
                    step.act(migration)
        except BaseException as error:
            with deferred():
                _undo(migration, done, error)
            raise
        _finish(migration, after_activation, on_step)


def _finish(migration: Migration, steps: Sequence[Step], on_step: Callable[[Step], None]) -> None:
    failed: list[str] = []

    def act(step: Step) -> None:
        # It cannot be told on a terminal that was closed.
        with suppress(OSError):
            on_step(step)
        try:
            step.act(migration)
        except FakevmError:
            failed.append(f"'{step.name}'")
            raise

    try:
        _for_each(steps, act)
    except FakevmError as error:
        error.add_note(
            f"the VM is on {migration.destination_name} all the same;"
            f" not all was done of {', '.join(failed)}"
        )
        ports = ", ".join(f"fakevm show {nic.port.id}" for nic in migration.nics)
        left = f"{ports}; fakevm cleanup, for what is left on {migration.source_name}"
        error.hint = "; ".join(filter(None, (error.hint, left)))
        raise


def _for_each(things: Sequence[T], act: Callable[[T], object]) -> None:
    """Do it for each, also after a failure; then raise the first, with the others as its notes."""
    failures: list[FakevmError] = []
    for thing in things:
        try:
            act(thing)
        except FakevmError as failure:
            failures.append(failure)
    if failures:
        first, *others = failures
        for other in others:
            for words in (f"and {other}", *getattr(other, "__notes__", ())):
                first.add_note(words)
        raise first


def _undo(migration: Migration, done: Sequence[Step], error: BaseException) -> None:
    for step in reversed(done):
        if step.undo is None:
            continue
        try:
            step.undo(migration)
        except FakevmError as failure:
            error.add_note(f"and '{step.name}' could not be undone: {failure}")


def _without_migrating_to(profile: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in profile.items() if key != MIGRATING_TO}
