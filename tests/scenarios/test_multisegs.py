"""fullstack test_multisegs: a network of two segments."""

from typing import Any

import pytest

from fakevm import Cloud

pytestmark = pytest.mark.fakevm(backend="ovs")


def vlan(number: int) -> dict[str, Any]:
    return {
        "provider:network_type": "vlan",
        "provider:physical_network": "physnet1",
        "provider:segmentation_id": number,
    }


def test_vms_of_a_network_of_two_segments_reach_each_other(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    made = sdk.create_network(name=cloud.name("net"), segments=[vlan(470), vlan(471)])
    sdk.create_subnet(network_id=made.id, ip_version=4, is_dhcp_enabled=False, cidr="10.0.11.0/24")
    net = cloud.lab.networks[made.name]
    assert net.attributes["segments"] == [vlan(470), vlan(471)]
    one, other = cloud.vms("one", "other", networks=[net])
    one.ping(other)


def test_a_tunnel_goes_where_the_physical_network_does_not(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    nowhere = {**vlan(472), "provider:physical_network": "physnet1"}
    made = sdk.create_network(
        name=cloud.name("net"), segments=[nowhere, {"provider:network_type": "vxlan"}]
    )
    sdk.create_subnet(network_id=made.id, ip_version=4, is_dhcp_enabled=False, cidr="10.0.11.0/24")
    one, other = cloud.vms("one", "other", networks=[made.name])
    one.ping(other)
