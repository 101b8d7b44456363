"""fullstack test_subnet: how VMs get IPv6 addresses."""

import pytest

from fakevm import Cloud
from fakevm.library.behind.words import SubnetWords, V6Mode

PREFIX = "fd00:4:2:"


def six(mode: V6Mode) -> SubnetWords:
    return {"cidr": f"{PREFIX}:/64", "ipv6_ra_mode": mode, "ipv6_address_mode": mode}


@pytest.mark.parametrize("mode", ["slaac", "dhcpv6-stateless", "dhcpv6-stateful"])
def test_vms_get_ipv6_addresses(cloud: Cloud, mode: V6Mode) -> None:
    net = cloud.network("net", subnets=[six(mode)])
    cloud.router("edge", interfaces=[net])
    one, other = cloud.vms("one", "other", networks=[net])
    (address,) = one.addresses
    assert address.startswith(PREFIX)
    assert address in one.exec("ip", "-6", "-br", "addr", "show", "eth0").stdout
    assert "default via fe80:" in one.exec("ip", "-6", "route").stdout
    one.assert_reaches(other)


def test_vms_have_addresses_of_both_kinds(cloud: Cloud) -> None:
    net = cloud.network("net", subnets=["10.6.0.0/24", six("slaac")])
    cloud.router("edge", interfaces=[net])
    one, other = cloud.vms("one", "other", networks=[net])
    for address in other.addresses:
        one.exec("ping", "-c1", "-W5", address, check=True)
    assert len(other.addresses) == 2


def test_a_delegated_prefix_is_asked_for(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("net")
    subnet = sdk.create_subnet(
        network_id=net.id,
        ip_version=6,
        subnet_pool_id="prefix_delegation",
        ipv6_ra_mode="slaac",
        ipv6_address_mode="slaac",
    )
    assert (subnet.cidr, subnet.gateway_ip) == ("::/64", "::")
