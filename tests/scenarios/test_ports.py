"""fullstack test_ports_binding, test_port_shut_down: where a port is, and what passes."""

import pytest
from openstack.exceptions import ConflictException

from fakevm import Cloud
from tests.scenarios.subnets import SUBNET


def test_a_port_that_is_down_lets_nothing_pass(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("net", subnets=[SUBNET])
    one, other = cloud.vms("one", "other", networks=[net])
    one.ping(other)
    sdk.update_port(other.port.id, admin_state_up=False)
    one.assert_cannot_reach(other)
    sdk.update_port(other.port.id, admin_state_up=True)
    one.assert_reaches(other)


def test_a_port_is_bound_where_there_is_an_agent(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("net")
    port = sdk.create_port(name=cloud.name("port"), network_id=net.id)
    assert port.binding_vif_type == "unbound"
    port = sdk.update_port(port, binding_host_id="nowhere")
    assert port.binding_vif_type == "binding_failed"
    port = sdk.update_port(port, binding_host_id="compute-1")
    assert port.binding_vif_type == "ovs"


def test_a_smart_nic_is_bound_by_no_common_agent(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("net")
    port = sdk.create_port(
        name=cloud.name("port"),
        network_id=net.id,
        binding_host_id="compute-1",
        binding_vnic_type="smart-nic",
    )
    assert port.binding_vif_type == "binding_failed"


def test_a_mac_is_there_once_in_a_network(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    blue, red = cloud.network("blue"), cloud.network("red")
    mac = "fa:16:3e:00:be:ef"
    sdk.create_port(name=cloud.name("one"), network_id=blue.id, mac_address=mac)
    sdk.create_port(name=cloud.name("other"), network_id=red.id, mac_address=mac)
    with pytest.raises(ConflictException, match=mac):
        sdk.create_port(name=cloud.name("third"), network_id=blue.id, mac_address=mac)
