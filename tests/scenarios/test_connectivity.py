"""fullstack test_connectivity: VMs reach each other, also while their hosts' agents are away."""

from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from itertools import permutations
from typing import Any

import docker
import pytest

from fakevm import Cloud, Network
from tests.scenarios.subnets import SUBNET

VXLAN = pytest.param({"network_type": "vxlan"}, id="vxlan")
VLAN = pytest.param({"network_type": "vlan", "physical_network": "physnet1"}, id="vlan")
FLAT = pytest.param({"network_type": "flat", "physical_network": "physnet1"}, id="flat")


def network(cloud: Cloud, words: dict[str, Any]) -> Network:
    """Make a network: a flat one's has addresses that Docker lets pass, but none of its own."""
    if words["network_type"] != "flat":
        return cloud.network("net", subnets=[SUBNET], **words)
    engine = docker.from_env().networks.get(f"fakevm-{cloud.lab.name}_provider")
    whole = ip_network(engine.attrs["IPAM"]["Config"][0]["Subnet"])
    *_, mine = whole.subnets(prefixlen_diff=1)
    pool = {"start": str(mine[1]), "end": str(mine[99])}
    subnet: Any = {**SUBNET, "cidr": str(whole), "gateway_ip": None, "allocation_pools": [pool]}
    return cloud.network("net", subnets=[subnet], **words)


@pytest.mark.each_change
def test_vms_of_a_tunnelled_network_reach_each_other(cloud: Cloud) -> None:
    # ML2/OVS's is VXLAN, ML2/OVN's Geneve.
    net = cloud.network("net", subnets=[SUBNET])
    for one, other in permutations(cloud.vms("a", "b", "c", networks=[net]), 2):
        one.ping(other)


@pytest.mark.parametrize("words", [VLAN, FLAT])
def test_vms_of_a_provider_s_network_reach_each_other(cloud: Cloud, words: dict[str, Any]) -> None:
    net = network(cloud, words)
    for one, other in permutations(cloud.vms("a", "b", "c", networks=[net]), 2):
        one.ping(other)


@pytest.mark.fakevm(backend="ovs")
@pytest.mark.parametrize("words", [VXLAN, VLAN, FLAT])
def test_agents_that_restart_interrupt_nothing(cloud: Cloud, words: dict[str, Any]) -> None:
    net = network(cloud, words)
    one, other = cloud.vms("one", "other", networks=[net])
    one.ping(other)
    with ThreadPoolExecutor() as pool:
        pinging = pool.submit(one.ping, other, count=80)
        cloud.lab.restart(cloud.hosts, only="l2-agent")
        pinging.result()


@pytest.mark.fakevm(backend="ovs")
def test_vms_reach_each_other_while_there_are_no_agents(cloud: Cloud) -> None:
    net = cloud.network("net", subnets=[SUBNET])
    one, other = cloud.vms("one", "other", networks=[net])
    one.ping(other)
    agents = [f"l2-agent@{host}" for host in cloud.hosts]
    with ThreadPoolExecutor() as pool:
        try:
            list(pool.map(cloud.lab.outages.stop, agents))
            one.ping(other, count=50)
        finally:
            list(pool.map(cloud.lab.outages.start, agents))
