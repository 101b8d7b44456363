"""A network inside, an external one, and who is there."""

from concurrent.futures import ThreadPoolExecutor
from string import ascii_lowercase

import pytest

from fakevm import Cloud, Network, Vm
from fakevm.library.behind.words import NicWords


def in_each(cloud: Cloud, *networks: Network) -> list[Vm]:
    """Boot a VM in each network at once, a and b and so on."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda n, net: cloud.vm(n, networks=[net]), ascii_lowercase, networks))


@pytest.fixture
def inside(cloud: Cloud) -> Network:
    """A network of no router yet."""
    return cloud.network("inside", subnets=[{"cidr": "10.1.0.0/24", "enable_dhcp": False}])


@pytest.fixture
def other(cloud: Cloud) -> Network:
    """Another one."""
    return cloud.network("other", subnets=[{"cidr": "10.2.0.0/24", "enable_dhcp": False}])


@pytest.fixture
def pair(cloud: Cloud, inside: Network, other: Network) -> list[Vm]:
    """A VM in each of the two, a and b."""
    return in_each(cloud, inside, other)


@pytest.fixture
def outside(cloud: Cloud) -> Network:
    """An external network, from which nothing leads to networks inside."""
    return cloud.network(
        "outside",
        external=True,
        network_type="vlan",
        physical_network="physnet1",
        subnets=[{"cidr": "203.0.113.0/24", "gateway_ip": None, "enable_dhcp": False}],
    )


@pytest.fixture
def stranger(cloud: Cloud, outside: Network) -> Vm:
    """A VM outside, at 203.0.113.9, which lets in everything."""
    nics: list[NicWords] = [{"network": outside, "fixed_ips": ["203.0.113.9"]}]
    return cloud.vm("stranger", nics=nics, port_security_enabled=False)


@pytest.fixture
def web(cloud: Cloud, inside: Network, outside: Network) -> Vm:
    """A VM inside, and a router between."""
    cloud.router("edge", interfaces=[inside], external_gateway=outside)
    group = cloud.security_group("web", rules=["ingress tcp", "ingress icmp"])
    return cloud.vm("web", networks=[inside], security_groups=[group])
