"""Ports leave their hosts, and Neutron."""

from __future__ import annotations

from fakevm import clients
from fakevm.clients.parts import PLACE
from fakevm.errors import ConfigError, FakevmError, NotFoundError, UnavailableError
from fakevm.inventory import vifs
from fakevm.inventory.lookup import Lookup
from fakevm.protocol.lock import exclusive_vm
from fakevm.vms.requests import HostResult


def delete_port(lab: Lookup, ref: str, *, wait_s: float) -> str:
    """Unplug a port on its host and delete it; return its id.

    Content if the host is gone, or has it no more. For what is done with its VM it is waited.
    """
    port = lab.find(ref, whole=False)
    lab.check_is_a_vms(port)
    vm = vifs.vm_of_port(port)
    with exclusive_vm(lab.home, vm.instance_id, called=vm.name, wait_s=wait_s):
        # Who was waited for may have moved or deleted it.
        for now in lab.neutron.ports(id=port.id, fields=PLACE):
            try:
                if now.host:
                    lab.agent(now.host).unplug(now.id)
            except (NotFoundError, UnavailableError) as error:
                lab.say(f"{error}; `fakevm cleanup` removes what is left there")
        lab.neutron.delete_port(port.id)
    return port.id


def unplug(lab: Lookup, ref: str, *, host: str | None) -> HostResult:
    """Unplug a port on one host, its own if none is named; its binding stays."""
    port = lab.find(ref, whole=False)
    target = lab.host(host) if host else port.host
    if not target:
        raise ConfigError(
            f"port {port.id} is not bound to a host",
            hint=f"fakevm unplug --host HOST {ref}; fakevm unplug-all-host {ref}",
        )
    return HostResult(host=target, port_id=port.id, changed=lab.agent(target).unplug(port.id))


def unplug_all_hosts(lab: Lookup, ref: str) -> list[HostResult]:
    """Unplug a port on every host, all at once."""
    port = lab.find(ref, whole=False)

    def unplug(host: str) -> HostResult:
        try:
            changed = lab.agent(host).unplug(port.id)
        except FakevmError as error:
            return HostResult(host=host, port_id=port.id, changed=False, error=str(error))
        return HostResult(host=host, port_id=port.id, changed=changed)

    return clients.at_once.each(unplug, [c.service for c in lab.computes])
