"""fullstack test_l3_agent, neutron-tempest-plugin test_connectivity: routers between networks."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from openstack.exceptions import BadRequestException

from fakevm import Cloud, Network, Vm
from tests.scenarios.routers.conftest import in_each


@pytest.mark.each_change
def test_a_router_joins_networks(
    cloud: Cloud, inside: Network, other: Network, pair: list[Vm]
) -> None:
    a, b = pair
    a.assert_cannot_reach(b)
    cloud.router("edge", interfaces=[inside, other])
    a.ping(b, within_s=30)
    cloud.router("edge", interfaces=[inside])
    a.assert_cannot_reach(b, within_s=30)


def test_a_router_of_ipv6(cloud: Cloud) -> None:
    one, other = (
        cloud.network(
            f"net-{i}",
            subnets=[
                {"cidr": f"fd00:{i}::/64", "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
            ],
        )
        for i in (1, 2)
    )
    cloud.router("edge", interfaces=[one, other])
    a, b = in_each(cloud, one, other)
    a.ping(b, within_s=30)


def test_routes_through_two_routers(
    cloud: Cloud, inside: Network, other: Network, pair: list[Vm]
) -> None:
    between = cloud.network("between", subnets=[{"cidr": "10.3.0.0/24", "enable_dhcp": False}])
    cloud.router(
        "one",
        interfaces=[inside, {"subnet": between, "ip_address": "10.3.0.11"}],
        routes=[{"destination": "10.2.0.0/24", "nexthop": "10.3.0.12"}],
    )
    cloud.router(
        "two",
        interfaces=[other, {"subnet": between, "ip_address": "10.3.0.12"}],
        routes=[{"destination": "10.1.0.0/24", "nexthop": "10.3.0.11"}],
    )
    a, b = pair
    a.ping(b, within_s=30)
    cloud.router("one", interfaces=[inside, {"subnet": between, "ip_address": "10.3.0.11"}])
    a.assert_cannot_reach(b, within_s=30)


def test_a_router_that_is_down_routes_nothing(
    cloud: Cloud, inside: Network, other: Network, pair: list[Vm]
) -> None:
    a, b = pair
    router = cloud.router("edge", interfaces=[inside, other])
    a.ping(b, within_s=30)
    cloud.router("edge", interfaces=[inside, other], admin_state_up=False)
    a.assert_cannot_reach(b, within_s=30)
    cloud.router("edge", interfaces=[inside, other], admin_state_up=True)
    a.ping(b, within_s=30)
    assert router.attributes["admin_state_up"]


def test_of_overlapping_networks_a_router_gets_one(cloud: Cloud) -> None:
    nets = [
        cloud.network(f"net-{i}", subnets=[{"cidr": "10.1.0.0/24", "enable_dhcp": False}])
        for i in range(6)
    ]
    router = cloud.router("edge")
    neutron = cloud.lab.openstack.network

    def attach(net: Network) -> bool:
        try:
            neutron.add_interface_to_router(router.id, subnet=net.subnets[0].id)
        except BadRequestException:
            return False
        return True

    with ThreadPoolExecutor() as pool:
        assert sum(pool.map(attach, nets)) == 1
    interfaces = list(neutron.ports(device_id=router.id))
    assert len(interfaces) == 1


# OVN lets a router say so of its way outside alone.
@pytest.mark.fakevm(backend="ovs")
def test_the_mtu_of_a_network_changes(
    cloud: Cloud, inside: Network, other: Network, pair: list[Vm]
) -> None:
    cloud.router("edge", interfaces=[inside, other])
    a, b = pair
    long = ("ping", "-n", "-c2", "-W1", "-M", "do", "-s", "1350", b.addresses[0])
    cloud.lab.wait_for("an answer", lambda: a.exec(*long).exit_code == 0)
    cloud.lab.openstack.network.update_network(other.id, mtu=1300)
    cloud.lab.wait_for(
        "the router's word", lambda: "Frag needed and DF set (mtu = 1300)" in a.exec(*long).stdout
    )
