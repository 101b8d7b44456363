"""fullstack test_mtu: how long packets may be, said by Neutron and seen by VMs."""

from typing import Any

import pytest
from openstack.exceptions import BadRequestException

from fakevm import Cloud
from tests.scenarios.subnets import SUBNET

OVERHEAD = {"ovs": 50, "ovn": 58}

VLAN = {"network_type": "vlan", "physical_network": "physnet1"}


def test_a_longer_one_than_the_underlay_s_is_refused(cloud: Cloud, backend: str) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("net")
    assert net.mtu == 1500 - OVERHEAD[backend]
    with pytest.raises(BadRequestException):
        sdk.update_network(net.id, mtu=9000)
    with pytest.raises(BadRequestException):
        sdk.create_network(name=cloud.name("other"), mtu=9000)


def test_a_network_whose_mtu_has_changed_can_be_deleted(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("net", mtu=1200)
    sdk.update_network(net.id, mtu=1400)
    assert net.mtu == 1400
    net.delete()
    assert cloud.name("net") not in cloud.lab.networks


@pytest.mark.parametrize("words", [{}, {"mtu": 1300}, VLAN], ids=["tunnel", "less", "vlan"])
def test_packets_of_the_mtu_pass_and_no_longer_ones(cloud: Cloud, words: dict[str, Any]) -> None:
    net = cloud.network("net", subnets=[SUBNET], **words)
    one, other = cloud.vms("one", "other", networks=[net])
    one.ping(other)
    longest = net.mtu - 28
    ping = ("ping", "-M", "do", "-c1", "-W5", other.addresses[0], "-s")
    assert one.exec(*ping, str(longest)).exit_code == 0
    assert "too long" in one.exec(*ping, str(longest + 1)).stderr


def test_vms_learn_a_new_mtu_when_they_boot(cloud: Cloud) -> None:
    net = cloud.network("net", subnets=["10.1.0.0/24"])
    vm = cloud.vm("vm", networks=[net])
    cloud.lab.openstack.network.update_network(net.id, mtu=1350)
    vm.reboot()
    assert "mtu 1350" in vm.exec("ip", "link", "show", "eth0").stdout
