"""fullstack test_subnet: small ones, and those of a pool."""

import pytest
from openstack.exceptions import ConflictException

from fakevm import Cloud
from fakevm.library.behind.words import SubnetWords


def small(cidr: str) -> SubnetWords:
    return {"cidr": cidr, "gateway_ip": None, "enable_dhcp": False}


def test_two_vms_of_a_31_reach_each_other(cloud: Cloud) -> None:
    net = cloud.network("net", subnets=[small("10.14.0.20/31")])
    one, other = cloud.vms("one", "other", networks=[net])
    assert {*one.addresses, *other.addresses} == {"10.14.0.20", "10.14.0.21"}
    one.ping(other)
    other.ping(one)


def test_a_vm_boots_in_a_32(cloud: Cloud) -> None:
    net = cloud.network("net", subnets=[small("10.14.0.20/32")])
    vm = cloud.vm("vm", networks=[net])
    assert "10.14.0.20/32" in vm.exec("ip", "-br", "addr", "show", "eth0").stdout


def test_subnets_of_a_pool_follow_each_other(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("net")
    pool = sdk.create_subnet_pool(
        name=cloud.name("pool"), prefixes=["10.40.0.0/16"], default_prefix_length=24
    )
    words = {"network_id": net.id, "ip_version": 4, "subnet_pool_id": pool.id}
    first = sdk.create_subnet(**words)
    assert (first.cidr, first.gateway_ip) == ("10.40.0.0/24", "10.40.0.1")
    second = sdk.create_subnet(**words, gateway_ip="10.40.1.10")
    assert (second.cidr, second.gateway_ip) == ("10.40.1.0/24", "10.40.1.10")
    # A network's own address is no gateway; what was refused has taken nothing of the pool.
    with pytest.raises(ConflictException):
        sdk.create_subnet(**words, gateway_ip="10.40.2.0")
    assert sdk.create_subnet(**words, gateway_ip="10.40.2.1").cidr == "10.40.2.0/24"


def test_who_comes_when_all_addresses_are_taken_is_refused(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("net", subnets=[{"cidr": "10.5.0.0/30", "enable_dhcp": False}])
    sdk.create_port(name=cloud.name("only"), network_id=net.id)
    with pytest.raises(ConflictException, match="No more IP addresses"):
        sdk.create_port(name=cloud.name("late"), network_id=net.id)
