"""fullstack test_local_ip: an address that means another VM on each host."""

import pytest

from fakevm import Cloud


@pytest.mark.fakevm(backend="ovs")
def test_it_reaches_the_vm_of_the_same_host(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("net", subnets=["10.0.0.0/24"])
    vm, near, far = cloud.vms(
        "vm", "near", "far", on=["compute-1"] * 2 + ["compute-2"], networks=[net]
    )
    near.ping(vm)
    far.ping(vm)
    local = sdk.create_local_ip(name=cloud.name("local"), network_id=net.id)
    sdk.create_local_ip_association(local.id, fixed_port_id=vm.port.id)
    ping = ("ping", "-n", "-c1", "-W1", local.local_ip_address)
    cloud.lab.wait_for("it answers", lambda: near.exec(*ping).exit_code == 0)
    assert far.exec(*ping).exit_code == 1
    sdk.delete_local_ip_association(local.id, vm.port.id)
    cloud.lab.wait_for("it answers no more", lambda: near.exec(*ping).exit_code == 1)
