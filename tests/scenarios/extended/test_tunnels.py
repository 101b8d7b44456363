"""fullstack test_connectivity: tunnels that ML2/OVS has beside VXLAN."""

from typing import Literal

import pytest

from fakevm import Cloud


@pytest.mark.fakevm(backend="ovs")
@pytest.mark.parametrize("kind", ["gre", "geneve"])
def test_vms_reach_each_other(cloud: Cloud, kind: Literal["gre", "geneve"]) -> None:
    net = cloud.network("net", subnets=["20.0.0.0/24"], network_type=kind)
    one, other = cloud.vms("one", "other", networks=[net])
    one.ping(other)
    other.ping(one)
