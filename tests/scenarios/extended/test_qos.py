"""fullstack test_qos (meters): limits by Open vSwitch's meters, which every datapath has."""

from typing import Any

import pytest

from fakevm import Cloud
from tests.scenarios.speed import kbps

LIMIT = 2000


@pytest.mark.fakevm(hosts=2, backend="ovs")
@pytest.mark.parametrize("direction", ["egress", "ingress"])
def test_a_meter_limits_one_way_alone(cloud: Cloud, direction: str) -> None:
    limit: Any = {direction: {"max_kbps": LIMIT, "max_burst_kbps": LIMIT // 10}}
    policy = cloud.qos_policy("slow", bandwidth_limit=limit)
    net = cloud.network("blue", subnets=[{"cidr": "10.1.0.0/24", "enable_dhcp": False}])
    vm, peer = cloud.vms("a", "b", networks=[net])
    ends = (vm, peer) if direction == "egress" else (peer, vm)
    assert kbps(*ends) > 5 * LIMIT
    cloud.lab.openstack.network.update_port(vm.port.id, qos_policy_id=policy.id)
    cloud.lab.wait_for("the limit", lambda: kbps(*ends) < 1.5 * LIMIT)
    assert kbps(*reversed(ends)) > 5 * LIMIT
    cloud.qos_policy("slow")
    cloud.lab.wait_for("no limit", lambda: kbps(*ends) > 5 * LIMIT)
