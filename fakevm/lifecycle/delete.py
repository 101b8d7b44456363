"""A VM is deleted, as Nova does it."""

from __future__ import annotations

from fakevm import migrate
from fakevm.clients.parts import Parts
from fakevm.errors import NotFoundError
from fakevm.inventory import vifs
from fakevm.protocol.lock import exclusive_vm
from fakevm.vms import boot


def delete_vm(lab: Parts, instance: str, *, wait_s: float) -> list[str]:
    """Unplug a VM's NICs, unbind the ports it was given, delete the others; return their ids.

    One of which nobody can tell is unbound, too. For what else is done with it is waited.
    """
    vm = vifs.vm_of(instance)
    with exclusive_vm(lab.home, vm.instance_id, called=vm.name, wait_s=wait_s):
        server = lab.server(vm.instance_id)
        for port in lab.neutron.ports(device_id=vm.instance_id):
            if port.host and server.unconfirmed_from(port.host):
                migrate.confirm.confirm_alone(lab, port)
                break
        deleted = boot.delete_vm(lab, vm.instance_id)
        if server.host or server.nics:
            # Another one of this name is a new VM.
            lab.events.register(vm.instance_id, given=(), nics=(), resized_from="")
    if not deleted:
        raise NotFoundError(f"there is no VM {instance!r}", hint="fakevm list")
    return deleted
