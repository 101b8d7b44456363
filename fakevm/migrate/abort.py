"""What a migration, or a shelve, has left whose process was killed is cleaned up."""

from __future__ import annotations

from fakevm.errors import ConflictError, for_each
from fakevm.inventory import addresses, vifs
from fakevm.inventory.lookup import Lookup
from fakevm.migrate.move import MIGRATING_TO, bring_back, plug_anew, without_migrating_to
from fakevm.neutron.values import Port
from fakevm.protocol.lock import exclusive_vm
from fakevm.vms import boot, given

# How long a guest may take to get its addresses.
CONFIGURE_S = 60.0


def abort(lab: Lookup, port: Port) -> list[str]:
    """Clean up after a migration or a shelve whose process was killed; return what was done.

    Before activation the VM runs on at the source, after it at the destination. Where only some of
    its ports had got so far, it is where its guest runs, or else where Nova has it.
    """
    if not port.device_id:
        raise ConflictError(f"port {port.id} is no VM's", hint="fakevm list")
    with exclusive_vm(lab.home, port.device_id):
        return _Leftover(lab, port.device_id).clean_up()


class _Leftover:
    """What has been left of a VM whose ports are to end on one host."""

    def __init__(self, lab: Lookup, instance_id: str) -> None:
        self._lab = lab
        self._instance_id = instance_id
        self._server = lab.server(instance_id)
        self._ports = self._read()
        for port in self._ports:
            lab.check_is_a_vms(port)
        self._running = {one.service for one in lab.computes if one.running}
        self._home = self._chosen_home()
        self._done: list[str] = []

    def clean_up(self) -> list[str]:
        # Nothing is deleted before it: what is inactive may be the only way to the VM.
        self._gather()
        acts = (
            *(self._withdraw, self._unbind, self._unplug),
            *(self._resume, self._configure, self._register),
        )
        for_each(acts, lambda act: act())
        return self._done

    def _read(self) -> list[Port]:
        ports = self._lab.neutron.ports(device_id=self._instance_id)
        return sorted(ports, key=lambda port: given.place(self._server, port.id))

    def _chosen_home(self) -> str:
        """Return which of its ports' hosts is to have the VM."""
        hosts = {port.host for port in self._ports} - {""}
        if not hosts and self._server.host:
            # A shelve has unbound all of them.
            hosts = {self._server.host}
        if not hosts:
            raise ConflictError(
                f"VM {self._server.name or self._instance_id} is on no host",
                hint=f"fakevm unshelve {self._server.name or self._instance_id}",
            )

        def rank(host: str) -> tuple[bool, ...]:
            return (
                host not in self._running,
                not self._has_guest(host),
                host != self._server.host,
            )

        return min(sorted(hosts), key=rank) if len(hosts) > 1 else hosts.pop()

    def _has_guest(self, host: str) -> bool:
        """Tell whether the guest runs on a host."""
        plugged = self._lab.agent(host).vifs() if host in self._running else ()
        here = [one for one in plugged if one.instance_id == self._instance_id]
        # Where the OVS port is gone, nobody knows any more that it was paused.
        return any(not (one.paused or one.error) for one in here)

    def _gather(self) -> None:
        """Have every port bound to the VM's host."""
        for port in self._ports:
            is_there = port.host == self._home
            if not is_there or (not port.bound and self._home in self._running):
                bring_back(self._lab.neutron, port, self._home)
                self._tell(f"bound port {port.id} to {self._home}")
        self._ports = self._read()

    def _withdraw(self) -> None:
        for port in self._ports:
            if MIGRATING_TO in port.profile:
                body = {"binding:profile": without_migrating_to(port.profile)}
                self._lab.neutron.update_port(port.id, body)
                self._tell(f"took {MIGRATING_TO} out of port {port.id}'s profile")

    def _unbind(self) -> None:
        for port in self._ports:
            for binding in self._lab.neutron.bindings(port.id):
                if not binding.active:
                    self._lab.neutron.delete_binding(port.id, binding.host)
                    self._tell(f"deleted port {port.id}'s binding to {binding.host}")

    def _unplug(self) -> None:
        for port in self._ports:
            for host in sorted(self._running - {self._home}):
                if self._lab.agent(host).unplug(port.id):
                    self._tell(f"unplugged port {port.id} on {host}")

    def _resume(self) -> None:
        agent = self._lab.agent(self._home)
        here = {one.port_id: one for one in agent.vifs() if one.instance_id == self._instance_id}
        vm = vifs.vm_of_port(self._ports[0], here.values(), self._server)
        for port in self._ports:
            # Of a binding that was not active for a while the L2 agent has deleted the OVS port.
            if port.id not in here or here[port.id].error:
                network = self._lab.neutron.network_of(port)
                ips = addresses.fixed_ips(port, network, "dhcp")
                preserve = given.is_given(self._server, port.id)
                plug_anew(
                    agent, vifs.vif(port, network, port, ips, preserve_on_delete=preserve), vm
                )
                self._tell(f"plugged port {port.id} on {self._home}")
        # Content if it runs. What the guest had is lost with who was to hand it on: it boots.
        agent.resume(self._instance_id)

    def _configure(self) -> None:
        agent = self._lab.agent(self._home)
        for port in self._ports:
            boot.configure(agent, port, timeout_s=CONFIGURE_S)

    def _register(self) -> None:
        if self._server.host != self._home:
            self._lab.events.register(self._instance_id, host=self._home)

    def _tell(self, words: str) -> None:
        self._lab.say(words)
        self._done.append(words)
