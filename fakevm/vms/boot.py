"""A VM's NICs come and go as Nova has it: boot, attach, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any, Protocol

from fakevm import inventory, names, vms
from fakevm.clients.agents import Agent
from fakevm.clients.events import WaitEnd
from fakevm.clients.parts import Parts
from fakevm.errors import (
    FakevmError,
    NotFoundError,
    UnavailableError,
    WaitTimeoutError,
    for_each,
)
from fakevm.inventory import addresses, vifs
from fakevm.model import FixedIp, Server, Vm
from fakevm.neutron.api import DEVICE_OWNER
from fakevm.neutron.values import Network, Port
from fakevm.protocol.clock import Clock
from fakevm.protocol.interrupt import deferred
from fakevm.protocol.journal import Journal
from fakevm.vms.requests import GuestFailedError, Plugging, PortRequest

# The event that says that a VIF's network is there.
VIF_PLUGGED = "network-vif-plugged"

# An agent takes no timeout of nothing.
_AT_ONCE_S = 0.001

# What of a port's profile is a device's on its host, and goes with the binding
# (nova/network/neutron.py, API._unbind_ports).
_DEVICE_KEYS = {
    *("pci_vendor_info", "pci_slot", "physical_network", "card_serial_number", "vf_num"),
    *("pf_mac_address", "device_mac_address", "allocation", "arq_uuid"),
}


def user_body(
    request: PortRequest, vm: Vm, network: Network, groups: Sequence[str], project_id: str
) -> dict[str, Any]:
    """Return the user's part of a port.

    nova: API._create_port_minimal. Here one address of every subnet is asked for.
    """
    body: dict[str, Any] = {
        "network_id": network.id,
        "device_id": vm.instance_id,
        "admin_state_up": True,
        "tenant_id": project_id,
    }
    if fixed_ips := addresses.requested_ips(request.fixed_ips, network.subnets):
        body["fixed_ips"] = fixed_ips
    if request.vnic_type != "normal":
        body["binding:vnic_type"] = request.vnic_type
    if request.name is not None:
        body["name"] = request.name
    if groups:
        body["security_groups"] = list(groups)
    if not request.port_security:
        body |= {"port_security_enabled": False, "security_groups": []}
    return body | dict(request.attributes)


class Boot:
    """A VM boots with its first NIC, or gets another one, on a host.

    What it makes is pushed to `undo`, which the caller runs on failure.
    """

    def __init__(
        self,
        lab: Parts,
        vm: Vm,
        agent: Agent,
        *,
        known: bool,
        running: bool,
        plugging: Plugging,
        journal: Journal,
        clock: Clock,
        undo: ExitStack,
    ) -> None:
        """`known`: the VM has ports by now; `running`: NICs, so that this one is attached."""
        self._lab = lab
        self._vm = vm
        self._agent = agent
        self._known = known
        self._running = running
        self._plugging = plugging
        self._journal = journal
        self._clock = clock
        self._undo = undo

    def create(self, body: Mapping[str, Any]) -> Port:
        """Create a port by the user's part of it (nova: API._create_port_minimal)."""
        # Were it cut off, nobody would know the id of the port that Neutron made.
        with self._step("create", "neutron.API._create_port_minimal"), deferred():
            try:
                port = self._lab.neutron.create_port(body)
            except UnavailableError as error:
                show = f"fakevm openstack port list --device-id {self._vm.instance_id}"
                error.add_note(f"if Neutron has made the port all the same: {show} --long")
                raise
            self._undo.callback(self._lab.neutron.delete_port, port.id)
        return port

    def bind(self, port: Port, *, given: bool = False) -> Port:
        """Bind a port to the host (nova: API._update_ports_for_instance).

        Of one that was given, a failure takes it from the VM again (API._unbind_ports).
        """
        # Of what a VM of this name had before, a new one has nothing.
        anew = {"project_id": port.project_id, "resized_from": ""}
        before = Server(instance_id=self._vm.instance_id)
        if self._known:
            anew, before = {}, self._lab.events.server(self._vm.instance_id)
        server = vms.given.with_nic(before, port.id, given=given)
        self._lab.events.register(
            self._vm.instance_id,
            host=self._agent.host,
            name=self._vm.name,
            nics=server.nics,
            given=server.given,
            **anew,
        )
        body: dict[str, Any] = {
            "device_id": self._vm.instance_id,
            "device_owner": DEVICE_OWNER,
            "binding:host_id": self._agent.host,
        }
        if port.profile:
            # A write replaces all of it.
            body["binding:profile"] = dict(port.profile)
        left: list[Port] = []

        def take_back() -> None:
            if not left:
                unbind(self._lab, port)

        if given:
            self._undo.callback(take_back)
        with self._step("bind", "neutron.API._update_ports_for_instance"), deferred():
            bound = self._lab.neutron.update_port(port.id, body)
        if bound.vif_type == "binding_failed":
            if self._running:
                # At an attach Nova leaves it to the VM.
                left.append(bound)
            raise vifs.binding_failed(bound, self._lab.l2_agents(bound.host))
        return bound

    def plug(
        self,
        port: Port,
        network: Network,
        ips: tuple[FixedIp, ...],
        *,
        preserve: bool,
        timeout_s: float,
        starts: bool = True,
    ) -> None:
        """Plug the NIC and wait until it works.

        A guest that does not start (`starts`) is an error after the plug.

        At a boot the guest is paused until Neutron says network-vif-plugged
        (LibvirtDriver._create_guest_with_network); an attach waits for nothing.
        """
        vif = vifs.vif(port, network, port, ips, preserve_on_delete=preserve)
        vm = replace(self._vm, project_id=port.project_id)
        booting = not self._running
        waiter = None
        # Of a port that is ACTIVE, or administratively down, no event comes.
        if booting and port.admin_state_up and port.status != "ACTIVE":
            waiter = self._lab.events.waiter(vm.instance_id, VIF_PLUGGED, [port.id])
        self._undo.callback(self._agent.unplug, port.id)
        # Were it cut off, the undo could overtake it.
        with (
            self._step("plug", "LibvirtDriver.plug_vifs"),
            self._clock.measured("plug"),
            deferred(),
        ):
            self._agent.plug(vif, vm, paused=booting)
        if not starts:
            raise GuestFailedError(f"the guest did not start on {self._agent.host} (--reschedule)")
        waited: WaitEnd = "nobody"
        if waiter:
            with (
                self._step("wait", "LibvirtDriver._create_guest_with_network"),
                self._clock.measured("active"),
            ):
                waited = self._plugging.wait(waiter, self._agent.host, self._lab.say)
        if booting:
            with (
                self._step("resume", "LibvirtDriver._create_guest_with_network"),
                self._clock.measured("plug"),
                deferred(),
            ):
                self._agent.resume(vm.instance_id, rarp=False)
        try:
            complete(self._lab, self._agent, port, self._clock, timeout_s=timeout_s)
        except WaitTimeoutError as error:
            if waited not in ("timeout", "failed"):
                raise
            self._lab.say(str(error))

    def _step(self, name: str, source: str) -> Any:
        return self._journal.step(name, self._agent.host, source=source)


class Configures(Protocol):
    """An agent, as far as it gives a NIC its addresses."""

    def configure(self, port_id: str, *, timeout_s: float) -> object:
        """Start a NIC's clients and wait for its addresses."""


def complete(lab: Parts, agent: Agent, port: Port, clock: Clock, *, timeout_s: float) -> None:
    """Wait until a port is ACTIVE and its NIC has its addresses, which Nova leaves to the user.

    What is administratively down is not waited for.
    """
    if port.admin_state_up:
        with clock.measured("active"):
            lab.neutron.wait_until_active(
                port.id, timeout_s=timeout_s, check=lambda: _check_plugged(agent, port)
            )
    with clock.measured("configure"):
        try:
            configure(agent, port, timeout_s=timeout_s)
        except WaitTimeoutError as error:
            if lab.backend.dhcp_agents and any(map(inventory.dhcp.missing, agent.vifs(port.id))):
                raise inventory.dhcp.explained(lab, port, error) from error
            raise


def _check_plugged(agent: Agent, port: Port) -> None:
    """Refuse to wait for a port that somebody has unplugged: it never becomes ACTIVE."""
    if not agent.vifs(port.id):
        raise NotFoundError(
            f"port {port.id} is not plugged on {agent.host} any more", hint=f"fakevm plug {port.id}"
        )


def configure(agent: Configures, port: Port, *, timeout_s: float) -> None:
    """Start a NIC's clients, and wait for its addresses if its port is administratively up."""
    if port.admin_state_up:
        agent.configure(port.id, timeout_s=timeout_s)
    else:
        # Without a network no address comes.
        start_clients(agent, port.id)


def start_clients(agent: Configures, port_id: str) -> None:
    """Start a NIC's clients, which ask until they have an address, as in any guest."""
    with suppress(WaitTimeoutError):
        agent.configure(port_id, timeout_s=_AT_ONCE_S)


def delete_vm(lab: Parts, instance_id: str) -> list[str]:
    """Unplug a VM's NICs, unbind the ports that it was given, delete the others; return all ids.

    One of which neither its host nor Nova can tell is unbound; one that nobody ever bound was made
    for the VM. What Neutron refuses does not keep the others, and is raised at the end.
    nova: ComputeManager._shutdown_instance, neutron.API.deallocate_for_instance.
    """
    found = lab.neutron.ports(device_id=instance_id)
    ports = [port for port in found if names.may_be_a_vms(port)]
    for port in ports:
        lab.check_host_of(port)
    server = lab.server(instance_id)
    with deferred():
        for host in sorted({port.host for port in ports} - {""}):
            try:
                agent = lab.agent(host)
                here = [one for one in agent.vifs() if one.instance_id == instance_id]
                server = vms.given.noted(lab, server, here, host=host)
                for_each([one.port_id for one in here], agent.unplug)
            except FakevmError as error:
                lab.say(f"{error}; `fakevm cleanup` removes what is left there")

        def was_made(port: Port) -> bool:
            never_bound = not (port.host or port.device_owner)
            return never_bound or not vms.given.is_given(server, port.id)

        def let_go(port: Port) -> None:
            if was_made(port):
                lab.neutron.delete_port(port.id)
                return
            unbind(lab, port)
            told = f"port {port.id} was unbound: it was given to the VM, or may have been"
            lab.say(f"{told}; `fakevm delete-port {port.id}` deletes it")

        for_each(sorted(ports, key=was_made), let_go)
    return [port.id for port in ports]


def unbind(lab: Parts, port: Port) -> None:
    """Take a port that was given from its VM (nova: API._unbind_ports)."""
    lab.neutron.update_port(
        port.id,
        {
            "binding:host_id": None,
            "device_id": "",
            "device_owner": "",
            "binding:profile": without_device(port.profile),
        },
    )


def without_device(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return a port's profile without what is its device's on a host, which goes with the binding.

    nova: API._unbind_ports.
    """
    return {key: value for key, value in profile.items() if key not in _DEVICE_KEYS}
