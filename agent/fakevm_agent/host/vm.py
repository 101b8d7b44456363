"""A VM's beginning and end: its folder and its netns."""

from fakevm.errors import FakevmError
from fakevm.model import Vm
from fakevm_agent.host import view
from fakevm_agent.host.parts import Host
from fakevm_agent.kernel import netlink, netns, processes


def create_vm(host: Host, vm: Vm) -> None:
    """Make a VM without NICs."""
    try:
        host.guest(vm.instance_id).create(vm)
        netns.create(vm.instance_id)
    except OSError as error:
        raise FakevmError(f"VM {vm.instance_id} can't be made: {error}") from error


def remove_vm_if_empty(host: Host, instance_id: str) -> None:
    """Remove a VM that no device of this host belongs to, with all that runs in it."""
    with host.vms.held(instance_id):
        if instance_id in {owner.instance_id for owner in view.owners(netlink.links()).values()}:
            return
        if netns.exists(instance_id):
            inside = netns.identity(instance_id)
            # Without its name nobody enters it any more, so what is killed stays so.
            netns.delete(instance_id)
            processes.kill(inside)
        else:
            netns.delete(instance_id)
        host.guest(instance_id).delete()
