"""fullstack test_multisegs: a network's subnets, each in a segment of its own."""

from typing import Any

import pytest

from fakevm import Cloud


@pytest.mark.fakevm(backend="ovs")
def test_vms_are_in_their_subnet_s_segment(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    words: Any = {"network_type": "vlan", "physical_network": "physnet1"}
    net = cloud.network("net", segmentation_id=473, **words)
    (first,) = sdk.segments(network_id=net.id)
    second = sdk.create_segment(
        name=cloud.name("second"), network_id=net.id, segmentation_id=474, **words
    )
    for segment, third in ((first, 11), (second, 12)):
        sdk.create_subnet(
            network_id=net.id, segment_id=segment.id, ip_version=4, cidr=f"10.0.{third}.0/24"
        )
    one, two, other = (
        cloud.vm(name, on=host, nics=[{"network": net, "fixed_ips": [address]}])
        for name, host, address in (
            ("one", "compute-1", "10.0.11.50"),
            ("two", "compute-2", "10.0.11.51"),
            ("other", "compute-2", "10.0.12.50"),
        )
    )
    one.ping(two)
    assert "10.0.12.50/24" in other.exec("ip", "-br", "addr", "show", "eth0").stdout
