"""fullstack test_l3_agent, neutron-tempest-plugin test_floatingip: a router's way outside."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest

from fakevm import Cloud, Network, Router, Vm
from fakevm.errors import WaitTimeoutError
from tests.scenarios.pinging import answers, pinging, seen


def edge(
    cloud: Cloud, inside: Network, outside: Network, address: str, *, snat: bool = True
) -> Router:
    """Let there be a router between both, with this address outside."""
    return cloud.router(
        "edge",
        interfaces=[inside],
        external_gateway={
            "network": outside,
            "enable_snat": snat,
            "external_fixed_ips": [address],
        },
    )


def test_snat_on_and_off(cloud: Cloud, inside: Network, outside: Network, stranger: Vm) -> None:
    edge(cloud, inside, outside, "203.0.113.5")
    vm = cloud.vm("a", networks=[inside])
    assert seen(vm, "203.0.113.9", stranger) == "203.0.113.5"
    edge(cloud, inside, outside, "203.0.113.5", snat=False)
    stranger.exec("ip", "route", "add", "10.1.0.0/24", "via", "203.0.113.5", check=True)
    cloud.lab.wait_for("no SNAT", lambda: seen(vm, "203.0.113.9", stranger) == vm.addresses[0])


@pytest.mark.fault(
    "ovn",
    raises=WaitTimeoutError,
    reason="scenario V, `moved-gateway`: what a router's port has is taken to the northbound of"
    " interfaces alone (`LogicalSwitchPortUpdateLogicalRouterPortEvent`, ovsdb_monitor.py)",
)
def test_the_gateway_s_address_changes(
    cloud: Cloud, inside: Network, outside: Network, stranger: Vm
) -> None:
    router = edge(cloud, inside, outside, "203.0.113.5")
    cloud.lab.wait_for("the gateway", lambda: answers(stranger, "203.0.113.5"))
    (port,) = cloud.lab.openstack.network.ports(
        device_id=router.id, device_owner="network:router_gateway"
    )
    new = ["203.0.113.6", "203.0.113.7"]
    cloud.lab.openstack.network.update_port(port, fixed_ips=[{"ip_address": ip} for ip in new])
    cloud.lab.wait_for("both", lambda: all(answers(stranger, one) for one in new), timeout_s=10)
    cloud.lab.wait_for("silence", lambda: not answers(stranger, "203.0.113.5"))


def test_the_gateway_moves_to_another_subnet(
    cloud: Cloud, inside: Network, outside: Network, stranger: Vm
) -> None:
    edge(cloud, inside, outside, "203.0.113.5")
    vm = cloud.vm("a", networks=[inside])
    cloud.lab.wait_for("a way outside", lambda: answers(vm, "203.0.113.9"))
    cloud.lab.openstack.network.create_subnet(
        name=cloud.name("another"),
        network_id=outside.id,
        ip_version=4,
        cidr="198.51.100.0/24",
        gateway_ip=None,
        is_dhcp_enabled=False,
    )
    stranger.exec("ip", "addr", "add", "198.51.100.9/24", "dev", "eth0", check=True)
    edge(cloud, inside, outside, "198.51.100.5")
    cloud.lab.wait_for("another way", lambda: answers(vm, "198.51.100.9"))
    cloud.lab.wait_for("silence", lambda: not answers(stranger, "203.0.113.5"))


def test_a_router_of_a_vlan_and_a_tunnel(cloud: Cloud, inside: Network, outside: Network) -> None:
    vlan = cloud.network(
        "vlan",
        network_type="vlan",
        physical_network="physnet1",
        subnets=[{"cidr": "10.2.0.0/24", "enable_dhcp": False}],
    )
    cloud.router("edge", interfaces=[inside, vlan], external_gateway=outside)

    def boot(net: Network) -> list[Vm]:
        return cloud.vms(f"{net.name}-1", f"{net.name}-2", networks=[net])

    def ping(way: tuple[Vm, Vm]) -> None:
        way[0].ping(way[1], within_s=30)

    with ThreadPoolExecutor() as pool:
        tunnels, vlans = pool.map(boot, (inside, vlan))
        list(pool.map(ping, product(tunnels, vlans)))
        ways = (tunnels[0], vlans[1].addresses[0]), (vlans[0], "10.1.0.1")
        with pinging(*ways) as (one, other):
            list(pool.map(ping, product(vlans, tunnels)))
    assert (one.lost, other.lost) == ([], [])


@pytest.mark.fakevm(backend="ovs")
def test_an_l3_agent_s_restart_loses_no_packet(
    cloud: Cloud, inside: Network, outside: Network, stranger: Vm
) -> None:
    edge(cloud, inside, outside, "203.0.113.5")
    vm = cloud.vm("a", networks=[inside])
    with pinging((vm, "203.0.113.9")) as (pings,):
        cloud.lab.restart(["network-1"], only="l3-agent")
    assert pings.lost == []
