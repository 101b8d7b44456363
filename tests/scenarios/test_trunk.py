"""neutron-tempest-plugin test_trunk, fullstack test_trunk of old: other networks on one NIC."""

import pytest

from fakevm import Cloud, Network, Trunk, Vm
from tests.scenarios import vlan
from tests.scenarios.pinging import answers


@pytest.fixture
def outer(cloud: Cloud) -> Network:
    return cloud.network("outer", subnets=[{"cidr": "10.1.0.0/24", "enable_dhcp": False}])


@pytest.fixture
def inner(cloud: Cloud) -> Network:
    return cloud.network("inner", subnets=[{"cidr": "10.2.0.0/24", "enable_dhcp": False}])


@pytest.fixture
def peer(cloud: Cloud, inner: Network) -> Vm:
    return cloud.vm("peer", networks=[inner])


@pytest.fixture
def vm(cloud: Cloud, outer: Network) -> Vm:
    return cloud.vm("a", networks=[outer])


def uplink(cloud: Cloud, vm: Vm, *carried: Network) -> Trunk:
    """Let a VM's NIC be a trunk that carries networks, in the VLANs 100, 101, …."""
    return cloud.trunk(
        "uplink",
        port=vm,
        sub_ports=[{"network": net, "segmentation_id": 100 + i} for i, net in enumerate(carried)],
    )


@pytest.mark.each_change
def test_a_subport_is_part_of_its_network(cloud: Cloud, vm: Vm, inner: Network, peer: Vm) -> None:
    trunk = uplink(cloud, vm, inner)
    vlan.make(vm, 100, trunk.sub_ports[100])
    cloud.lab.wait_for("an answer", lambda: answers(vm, peer.addresses[0]))
    cloud.lab.wait_for("ACTIVE", lambda: trunk.attributes["status"] == "ACTIVE")
    assert trunk.sub_ports[100].status == "ACTIVE"


def test_the_parent_without_a_vlan_is_part_of_its_own_network(
    cloud: Cloud, vm: Vm, outer: Network, inner: Network, peer: Vm
) -> None:
    uplink(cloud, vm, inner)
    beside = cloud.vm("beside", networks=[outer])
    vm.ping(beside)
    # Untagged frames get nowhere else.
    vm.exec("ip", "addr", "add", "10.2.0.200/24", "dev", "eth0", check=True)
    assert not answers(vm, peer.addresses[0])


def test_subports_come_and_go_while_the_vm_runs(
    cloud: Cloud, vm: Vm, inner: Network, peer: Vm
) -> None:
    trunk = uplink(cloud, vm)
    uplink(cloud, vm, inner)
    sub = trunk.sub_ports[100]
    vlan.make(vm, 100, sub)
    cloud.lab.wait_for("an answer", lambda: answers(vm, peer.addresses[0]))
    neutron = cloud.lab.openstack.network
    neutron.delete_trunk_subports(trunk.id, [{"port_id": sub.id}])
    cloud.lab.wait_for("silence", lambda: not answers(vm, peer.addresses[0]))
    neutron.delete_port(sub.id)


def test_a_vm_moves_with_its_trunk(cloud: Cloud, vm: Vm, inner: Network, peer: Vm) -> None:
    trunk = uplink(cloud, vm, inner)
    there = next(host for host in cloud.hosts if host != vm.host)
    report = vm.migrate(there)
    assert (report.outcome, vm.host) == ("moved", there)
    # Its processes stay where they were.
    vlan.make(vm, 100, trunk.sub_ports[100])
    cloud.lab.wait_for("an answer", lambda: answers(vm, peer.addresses[0]))
