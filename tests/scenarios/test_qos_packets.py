"""fullstack test_qos (DSCP, packet rate): marks on packets, and how many may pass."""

import re

import pytest

from fakevm import Cloud, Network, QosPolicy, Vm
from tests.scenarios.speed import packets
from tests.scenarios.subnets import SUBNET


@pytest.fixture
def net(cloud: Cloud) -> Network:
    return cloud.network("blue", subnets=[SUBNET])


@pytest.fixture
def peer(cloud: Cloud, net: Network) -> Vm:
    return cloud.vm("peer", on="compute-1", networks=[net])


def marks(cloud: Cloud, mark: int) -> QosPolicy:
    return cloud.qos_policy("marks", dscp_mark=mark)


def answered_with(vm: Vm, peer: Vm) -> int:
    """Return the type of service of a VM's answer to a ping."""
    address = vm.addresses[0]
    look = f"timeout 3 tcpdump -nvlc1 -i eth0 icmp and src {address} & sleep 0.3"
    said = peer.exec("sh", "-c", f"{look}; ping -c3 -i0.2 {address} >/dev/null; wait").stdout
    return int(re.findall(r"\(tos (0x\w+)", said)[0], 16)


@pytest.mark.each_change
def test_packets_are_marked(cloud: Cloud, net: Network, peer: Vm) -> None:
    vm = cloud.vm("a", on="compute-2", networks=[net], qos_policy=marks(cloud, 16))
    # The type of service has the mark in its upper six bits.
    cloud.lab.wait_for("the mark", lambda: answered_with(vm, peer) == 16 << 2)
    marks(cloud, 22)
    cloud.lab.wait_for("another one", lambda: answered_with(vm, peer) == 22 << 2)
    cloud.lab.openstack.network.update_port(vm.port.id, qos_policy_id=None)
    cloud.lab.wait_for("none", lambda: answered_with(vm, peer) == 0)


@pytest.mark.fakevm(backend="ovs")
def test_packets_are_limited(cloud: Cloud, net: Network, peer: Vm) -> None:
    policy = cloud.qos_policy(
        "few", packet_rate_limit={"egress": {"max_kpps": 1, "max_burst_kpps": 1}}
    )
    vm = cloud.vm("a", on="compute-2", networks=[net], qos_policy=policy)
    assert 500 < packets(vm, peer, 6000) < 3000
    cloud.lab.openstack.network.update_port(vm.port.id, qos_policy_id=None)
    cloud.lab.wait_for("no limit", lambda: packets(vm, peer, 6000) > 3500)
