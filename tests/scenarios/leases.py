"""What a VM's DHCP client was told."""

from fakevm import Vm

LEASES = "/var/lib/dhcp/dhclient.eth0.leases"


def lease(vm: Vm, option: str) -> str:
    """Return an option of a VM's last lease."""
    said = vm.exec("cat", LEASES, check=True).stdout.rpartition("lease {")[2]
    return said.partition(f"option {option} ")[2].partition(";")[0].strip('"')


def renewed(vm: Vm, option: str) -> str:
    """Return an option of the lease that a VM gets when it boots again."""
    vm.reboot()
    return lease(vm, option)
