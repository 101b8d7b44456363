"""What a migration has left whose process was killed is cleaned up."""

from __future__ import annotations

from fakevm.clients.parts import Parts
from fakevm.errors import for_each
from fakevm.migrate.move import MIGRATING_TO, without_migrating_to
from fakevm.neutron.values import Port
from fakevm.protocol.lock import exclusive_vm
from fakevm.vms import addresses, boot, vifs

# How long a guest may take to get its addresses.
CONFIGURE_S = 60.0


def abort(lab: Parts, port: Port) -> list[str]:
    """Clean up after a migration whose process was killed; return what was done.

    Before activation the VM runs on at the source, after it at the destination.
    """
    instance_id = port.device_id or port.id
    with exclusive_vm(lab.home, instance_id):
        return _Leftover(lab, port).clean_up()


class _Leftover:
    """What a migration that was killed has left."""

    def __init__(self, lab: Parts, port: Port) -> None:
        self._lab = lab
        self._ports = lab.neutron.ports(device_id=port.device_id) if port.device_id else [port]
        self._instance_id = port.device_id
        self._done: list[str] = []

    def clean_up(self) -> list[str]:
        acts = (self._withdraw, self._unbind, self._unplug, self._resume, self._configure)
        for_each(acts, lambda act: act())
        return self._done

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
            for container in self._lab.computes:
                host = container.service
                elsewhere = host != port.host and container.running
                if elsewhere and self._lab.agent(host).unplug(port.id):
                    self._tell(f"unplugged port {port.id} on {host}")

    def _resume(self) -> None:
        home = self._ports[0].host
        agent = self._lab.agent(home)
        here = {one.port_id: one for one in agent.vifs() if one.instance_id == self._instance_id}
        for port in self._ports:
            if port.id not in here:
                network = self._lab.neutron.network_of(port)
                ips = addresses.fixed_ips(port, network, "dhcp")
                # Whether it was given to the VM knew the host where it has been unplugged.
                vif = vifs.vif(port, network, port, ips, preserve_on_delete=True)
                agent.plug(
                    vif, vifs.vm_of_port(port, here.values(), self._lab.server(self._instance_id))
                )
                self._tell(f"plugged port {port.id} on {home}")
        # Content if it runs. What the guest had is lost with who was to hand it on: it boots.
        agent.resume(self._instance_id)

    def _configure(self) -> None:
        for port in self._ports:
            boot.configure(self._lab.agent(port.host), port, timeout_s=CONFIGURE_S)

    def _tell(self, words: str) -> None:
        self._lab.say(words)
        self._done.append(words)
