"""fullstack test_qos, neutron-tempest-plugin test_qos: bandwidth limits."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fakevm import Cloud, Network, QosPolicy, Vm
from tests.scenarios.speed import kbps
from tests.scenarios.subnets import SUBNET

LIMIT, FREE = 2000, 10_000

# Of ML2/OVS the limit of what goes out is tc's police action, which not every kernel has.
egress = pytest.param("egress", marks=pytest.mark.fakevm(backend="ovn"))


def limited(cloud: Cloud, direction: str, limit: int = LIMIT) -> QosPolicy:
    """Let there be a policy of this limit."""
    rule: Any = {direction: {"max_kbps": limit, "max_burst_kbps": limit // 10}}
    return cloud.qos_policy("slow", bandwidth_limit=rule)


def speed(vm: Vm, peer: Vm, direction: str) -> float:
    """Return how much goes one way, as the VM sees it."""
    return kbps(vm, peer) if direction == "egress" else kbps(peer, vm)


@pytest.fixture
def net(cloud: Cloud) -> Network:
    return cloud.network("blue", subnets=[SUBNET])


@pytest.fixture
def peer(cloud: Cloud, net: Network) -> Vm:
    return cloud.vm("peer", on="compute-1", networks=[net])


@pytest.mark.parametrize("direction", [egress, "ingress"])
def test_a_limit_holds_changes_and_ends(
    cloud: Cloud, net: Network, peer: Vm, direction: str
) -> None:
    policy = limited(cloud, direction)
    vm = cloud.vm("a", on="compute-2", networks=[net], qos_policy=policy)
    assert LIMIT / 3 < speed(vm, peer, direction) < 1.5 * LIMIT
    limited(cloud, direction, 3 * LIMIT)
    cloud.lab.wait_for("thrice", lambda: 2 * LIMIT < speed(vm, peer, direction) < 4.5 * LIMIT)
    cloud.qos_policy("slow")
    cloud.lab.wait_for("no limit", lambda: speed(vm, peer, direction) > FREE)


@pytest.mark.fakevm(backend="ovn")
def test_a_limit_changes_its_direction(cloud: Cloud, net: Network, peer: Vm) -> None:
    policy = limited(cloud, "egress")
    vm = cloud.vm("a", on="compute-2", networks=[net], qos_policy=policy)
    assert speed(vm, peer, "egress") < 1.5 * LIMIT
    (rule,) = policy.attributes["rules"]
    cloud.lab.openstack.network.update_qos_bandwidth_limit_rule(
        rule["id"], policy.id, direction="ingress"
    )
    cloud.lab.wait_for("the other way", lambda: speed(vm, peer, "ingress") < 1.5 * LIMIT)
    assert speed(vm, peer, "egress") > FREE


def test_a_network_s_policy_and_a_port_s_own(cloud: Cloud, net: Network, peer: Vm) -> None:
    slow = limited(cloud, "ingress")
    vm = cloud.vm("a", on="compute-2", networks=[net])
    cloud.lab.openstack.network.update_network(net.id, qos_policy_id=slow.id)
    cloud.lab.wait_for("the limit", lambda: speed(vm, peer, "ingress") < 1.5 * LIMIT)
    faster = cloud.qos_policy("faster", bandwidth_limit={"ingress": {"max_kbps": 5 * LIMIT}})
    cloud.vm("a", networks=[net], qos_policy=faster)
    cloud.lab.wait_for("its own", lambda: speed(vm, peer, "ingress") > 3 * LIMIT)


@pytest.mark.fakevm(hosts=2)
def test_a_limit_survives_who_set_it(cloud: Cloud, net: Network, backend: str) -> None:
    hosts, policy = ("compute-1", "compute-2"), limited(cloud, "ingress")
    peer, vm = cloud.vms("peer", "a", on=hosts, networks=[net], qos_policy=policy)
    process = {"ovs": "l2-agent", "ovn": "ovn-controller"}[backend]
    with ThreadPoolExecutor() as pool:
        before = pool.submit(speed, vm, peer, "ingress")
        with cloud.lab.stopped(f"{process}@compute-2"):
            assert before.result() < 1.5 * LIMIT
            assert speed(vm, peer, "ingress") < 1.5 * LIMIT
    # ML2/OVS's agent clears all limits as it starts, and sets them port by port.
    cloud.lab.wait_for("the limit", lambda: speed(vm, peer, "ingress") < 1.5 * LIMIT)


@pytest.mark.fakevm(hosts=2)
def test_a_limit_that_ends_meanwhile_is_gone_after(
    cloud: Cloud, net: Network, peer: Vm, backend: str
) -> None:
    vm = cloud.vm("a", on="compute-2", networks=[net], qos_policy=limited(cloud, "ingress"))
    process = {"ovs": "l2-agent", "ovn": "ovn-controller"}[backend]
    with cloud.lab.stopped(f"{process}@compute-2"):
        cloud.qos_policy("slow")
        assert speed(vm, peer, "ingress") < 1.5 * LIMIT
    cloud.lab.wait_for("no limit", lambda: speed(vm, peer, "ingress") > FREE)
