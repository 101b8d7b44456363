"""fullstack test_connectivity: VMs reach each other, also while their hosts' agents are away."""

from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import Any

import pytest

from fakevm import Cloud

VXLAN = pytest.param({"network_type": "vxlan"}, id="vxlan")
VLAN = pytest.param({"network_type": "vlan", "physical_network": "physnet1"}, id="vlan")
FLAT = pytest.param({"network_type": "flat", "physical_network": "physnet1"}, id="flat")


@pytest.mark.each_change
def test_vms_of_a_tunnelled_network_reach_each_other(cloud: Cloud) -> None:
    # ML2/OVS's is VXLAN, ML2/OVN's Geneve.
    net = cloud.network("net", subnets=["20.0.0.0/24"])
    for one, other in permutations(cloud.vms("a", "b", "c", networks=[net]), 2):
        one.ping(other)


@pytest.mark.parametrize("words", [VLAN, FLAT])
def test_vms_of_a_provider_s_network_reach_each_other(cloud: Cloud, words: dict[str, Any]) -> None:
    net = cloud.network("net", subnets=["20.0.0.0/24"], **words)
    for one, other in permutations(cloud.vms("a", "b", "c", networks=[net]), 2):
        one.ping(other)


@pytest.mark.fakevm(backend="ovs")
@pytest.mark.parametrize("words", [VXLAN, VLAN, FLAT])
def test_agents_that_restart_interrupt_nothing(cloud: Cloud, words: dict[str, Any]) -> None:
    net = cloud.network("net", subnets=["20.0.0.0/24"], **words)
    one, other = cloud.vms("one", "other", networks=[net])
    one.ping(other)
    with ThreadPoolExecutor() as pool:
        pinging = pool.submit(one.ping, other, count=80)
        cloud.lab.restart(cloud.hosts, only="l2-agent")
        pinging.result()


@pytest.mark.fakevm(backend="ovs")
def test_vms_reach_each_other_while_there_are_no_agents(cloud: Cloud) -> None:
    net = cloud.network("net", subnets=["20.0.0.0/24"])
    one, other = cloud.vms("one", "other", networks=[net])
    one.ping(other)
    with cloud.lab.stopped("l2-agent@compute-1"), cloud.lab.stopped("l2-agent@compute-2"):
        one.ping(other, count=50)
