"""A VM on its way: who takes part, what is known of it, and what the protocols share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from fakevm.clients.events import Events, WaitEnd, Waiter
from fakevm.errors import ConflictError, WaitTimeoutError, for_each
from fakevm.inventory import vifs
from fakevm.model import FixedIp, GuestState, PluggedVif, Vif, Vm
from fakevm.neutron.values import Binding, Network, Port
from fakevm.protocol.steps import Step
from fakevm.vms import boot
from fakevm.vms.boot import VIF_PLUGGED
from fakevm.vms.requests import AS_NOVA, Plugging

# Nova's key in a binding's profile (nova/network/constants.py).
MIGRATING_TO = "migrating_to"


class Ports(Protocol):
    """What a move needs of Neutron."""

    def port(self, port_id: str) -> Port:
        """Return a port."""

    def update_port(self, port_id: str, body: Mapping[str, Any]) -> Port:
        """Change a port."""

    def binding(self, port_id: str, host: str) -> Binding | None:
        """Return a port's binding to a host."""

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
    """What a move needs of a host's agent."""

    def plug(
        self, vif: Vif, vm: Vm, *, paused: bool = False, late_tap: bool = False, nic: str = ""
    ) -> object:
        """Plug a VIF."""

    def suspend(self, instance_id: str) -> GuestState:
        """Pause a VM, and return what it has."""

    def resume(
        self, instance_id: str, state: GuestState | None = None, *, rarp: bool = True
    ) -> float:
        """Let a VM run, with what it had."""

    def configure(self, port_id: str, *, timeout_s: float) -> object:
        """Start a NIC's clients and wait for its addresses."""

    def unplug(self, port_id: str) -> bool:
        """Unplug a port."""

    def vifs(self, port_id: str | None = None) -> list[PluggedVif]:
        """Return what is plugged, all of it or one port's."""


@dataclass(frozen=True, kw_only=True)
class Nic:
    """One of the VM's NICs, as it was at the source before."""

    port: Port
    network: Network
    # How the VM comes by its addresses.
    fixed_ips: tuple[FixedIp, ...]
    # None where the source cannot be asked.
    guest: PluggedVif | None = None
    # Where no host can tell it: whether it was given to the VM, for all that is known.
    given: bool = True

    @property
    def name(self) -> str:
        """Its name in the guest, as far as it is known."""
        return self.guest.nic if self.guest else ""

    @property
    def preserve_on_delete(self) -> bool:
        """Whether it outlives its VM: what is unbound can be deleted, the reverse can't be."""
        return self.guest.preserve_on_delete if self.guest else self.given


@dataclass(frozen=True, kw_only=True)
class Switches:
    """What a user wants otherwise than Nova's defaults."""

    plugging: Plugging = AS_NOVA
    # As Nova does it: the profile says where to, and the VIF-plugged event is waited for.
    migrating_to: bool = True
    wait: bool = True
    rarp: bool = True
    # The OVS port first, its device after: as libvirt did before ovs_create_tap.
    late_tap: bool = False


@dataclass(kw_only=True)
class Move:
    """A VM on its way. What is not given is learnt as it goes."""

    vm: Vm
    # In the order of the NICs: as Nova's cache of a VM's VIFs.
    nics: tuple[Nic, ...]
    # The same in the order in which Neutron lists the ports.
    listed: tuple[Nic, ...]
    source_name: str
    destination_name: str
    neutron: Ports
    # None where it is down.
    source: Host | None
    destination: Host
    events: Events
    # How long a port may take to become ACTIVE, and the guest to get its addresses.
    timeout_s: float
    # How long a host may take to cut off a VIF whose binding was deactivated.
    cuts_off_within_s: float = 0.0
    switches: Switches = field(default_factory=Switches)
    warn: Callable[[str], None] = lambda _text: None
    # The destination's answers, by port.
    answers: dict[str, Binding | Port] = field(default_factory=dict)
    waiter: Waiter | None = None
    # None: it has not, or in an error.
    waited: WaitEnd | None = None
    # The paused guest.
    state: GuestState | None = None
    activating_at: float | None = None
    activated_at: float | None = None
    resumed_at: float | None = None

    def port(self, nic: Nic) -> Port:
        """Return a NIC's port as Neutron answered last."""
        answer = self.answers.get(nic.port.id)
        return answer if isinstance(answer, Port) else nic.port

    def vif(self, nic: Nic, answer: Binding | Port) -> Vif:
        """Return a NIC's VIF by what Neutron answered for a host."""
        return vifs.vif(
            *(nic.port, nic.network, answer, nic.fixed_ips),
            preserve_on_delete=nic.preserve_on_delete,
        )


def register_waiters(move: Move, nics: Iterable[Nic] | None = None) -> None:
    """Wait for the VIFs' events from here on, before the plug: what comes earlier is lost.

    Of all NICs, if none are named: also of a port that is administratively down, of which none
    comes (nova: ComputeManager._get_neutron_events_for_live_migration).
    """
    port_ids = [nic.port.id for nic in (move.nics if nics is None else nics)]
    move.waiter = move.events.waiter(move.vm.instance_id, VIF_PLUGGED, port_ids)


def wait_until_plugged(move: Move, host: str = "") -> None:
    """Wait for network-vif-plugged as `vif_plugging_timeout` and `vif_plugging_is_fatal` say.

    On the destination, if no host is named. Of an event that came before its waiter the error says
    so: Nova would wait in vain, too.
    """
    assert move.waiter
    if not move.switches.wait:
        move.waited = "nobody"
        return
    try:
        move.waited = move.switches.plugging.wait(
            move.waiter, host or move.destination_name, move.warn
        )
    except WaitTimeoutError as error:
        early = [i for i in move.waiter.missing if move.neutron.port(i).status == "ACTIVE"]
        if early:
            error.add_note(
                f"port {', '.join(early)} is ACTIVE all the same: its event came before the waiter,"
                " where Nova would wait in vain, too"
            )
        down = [n.port.id for n in move.nics if not n.port.admin_state_up]
        if no_event := [port_id for port_id in move.waiter.missing if port_id in down]:
            error.add_note(
                f"port {', '.join(no_event)} is administratively down: no event comes of it, for"
                " which Nova waits in vain, too"
            )
        raise


def plug_destination(move: Move, *, paused: bool) -> None:
    """Plug every NIC on the destination by what Neutron answered for it, or has of it there."""
    for nic in move.nics:
        plug_nic(move, nic, paused=paused)


def plug_nic(move: Move, nic: Nic, *, paused: bool) -> None:
    """Plug one NIC on the destination."""
    move.destination.plug(
        move.vif(nic, move.answers.get(nic.port.id, nic.port)),
        move.vm,
        paused=paused,
        late_tap=move.switches.late_tap,
        nic=nic.name,
    )


def plug_anew(host: Host, vif: Vif, vm: Vm, *, paused: bool = False, nic: str = "") -> None:
    """Plug a VIF whose OVS port the L2 agent has deleted."""
    if vif.vif_details.get("ovs_hybrid_plug"):
        # os-vif makes no port of a veth pair that is there.
        host.unplug(vif.port_id)
    host.plug(vif, vm, paused=paused, nic=nic)


def unplug_destination(move: Move) -> None:
    """Take the NICs off the destination."""
    for_each(move.nics, lambda nic: move.destination.unplug(nic.port.id))


def unplug_source(move: Move) -> None:
    """Take the NICs off the source."""
    source = move.source
    assert source
    for_each(move.nics, lambda nic: source.unplug(nic.port.id))


def unbind_source(move: Move) -> None:
    """Delete the source's bindings; Neutron has none where the port was bound anew (404)."""
    for_each(move.listed, lambda nic: move.neutron.delete_binding(nic.port.id, move.source_name))


def bind_by_host_id(move: Move, nics: Iterable[Nic], host: str) -> None:
    """Write `binding:host_id` into ports, and their profile where it is to lose `migrating_to`.

    nova: API._update_port_binding_for_instance.
    """
    for nic in nics:
        move.answers[nic.port.id] = _bound(move.neutron, nic.port, host)


def bring_back(neutron: Ports, port: Port, host: str) -> Port:
    """Have a port on one of its hosts, by the binding that it has there or by a new one."""
    binding = neutron.binding(port.id, host)
    if binding is not None and not binding.active:
        neutron.activate_binding(port.id, host)
        port = neutron.port(port.id)
    # What ML2 deactivates it unbinds, and does not bind when that is activated again
    # (Ml2Plugin.activate), but at the next write.
    return port if port.host == host and port.bound else _bound(neutron, port, host)


def _bound(neutron: Ports, port: Port, host: str) -> Port:
    body: dict[str, Any] = {"binding:host_id": host, "device_owner": port.device_owner}
    if MIGRATING_TO in port.profile:
        body["binding:profile"] = without_migrating_to(port.profile)
    answer = neutron.update_port(port.id, body)
    if answer.vif_type == "binding_failed":
        raise ConflictError(
            f"Neutron could not bind port {port.id} to {host}", hint="fakevm status"
        )
    return answer


def announce(move: Move) -> dict[str, Port]:
    """Write `migrating_to` into each port's profile; return the ports with it.

    nova: API._setup_migration_port_profile.
    """
    announced: dict[str, Port] = {}
    for nic in move.listed:
        is_there = nic.port.host == move.destination_name
        if is_there or nic.port.profile.get(MIGRATING_TO) == move.destination_name:
            continue
        profile = {**nic.port.profile, MIGRATING_TO: move.destination_name}
        port = move.neutron.update_port(nic.port.id, {"binding:profile": profile})
        announced[nic.port.id] = replace(port, profile=profile)
    return announced


def withdraw(move: Move) -> None:
    """Take `migrating_to` out of the profiles."""
    for nic in move.listed:
        profile = move.neutron.port(nic.port.id).profile
        # Each write of the profile binds the port anew, which takes it DOWN for a moment.
        if MIGRATING_TO in profile:
            body = {"binding:profile": without_migrating_to(profile)}
            move.neutron.update_port(nic.port.id, body)


def wait_until_active(move: Move) -> None:
    """Wait until Neutron calls every port ACTIVE: now the other hosts know the new place."""
    for_each(
        [nic for nic in move.nics if nic.port.admin_state_up],
        lambda nic: move.neutron.wait_until_active(nic.port.id, timeout_s=move.timeout_s),
    )


def has_clients(nic: Nic) -> bool:
    """Tell whether a NIC had clients for its addresses; of one without a host nobody knows."""
    return nic.guest is None or nic.guest.configured


def configure(move: Move) -> None:
    """Start the DHCP and SLAAC clients that the VM had at the source."""
    for_each(
        [nic for nic in move.nics if has_clients(nic)],
        lambda nic: boot.configure(move.destination, nic.port, timeout_s=move.timeout_s),
    )


def start_clients(move: Move) -> None:
    """Start the clients that the VM had at the source, and wait for nothing."""
    for_each(
        [nic for nic in move.nics if has_clients(nic)],
        lambda nic: boot.start_clients(move.destination, nic.port.id),
    )


def without_migrating_to(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return a profile as it is when no migration is under way."""
    return {key: value for key, value in profile.items() if key != MIGRATING_TO}


# After a move: Nova leaves the guest to itself.
SETTLING = (
    Step(
        name="wait for ACTIVE",
        actor="destination",
        source="fakevm: Nova does not wait",
        act=wait_until_active,
        waits=True,
    ),
    Step(
        name="configure",
        actor="destination",
        source="fakevm: the guest's DHCP and SLAAC clients",
        act=configure,
        waits=True,
        at_least=start_clients,
    ),
)
