"""neutron-tempest-plugin test_portsecurity: whose packets pass."""

import pytest

from fakevm import Cloud
from tests.scenarios.subnets import SUBNET


def test_without_port_security_everything_passes(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("net", subnets=[SUBNET])
    group = cloud.security_group("closed")
    web, client = cloud.vms("web", "client", networks=[net], security_groups=[group])
    client.assert_cannot_reach(web, port=80)
    sdk.update_port(web.port.id, security_group_ids=[], port_security_enabled=False)
    client.assert_reaches(web, port=80)
    client.assert_reaches(web)
    sdk.update_port(web.port.id, security_group_ids=[group.id], port_security_enabled=True)
    client.assert_cannot_reach(web, port=80)


def test_ports_are_as_their_network_has_it(cloud: Cloud) -> None:
    net = cloud.network("net", subnets=[SUBNET], port_security_enabled=False)
    one, other = cloud.vms("one", "other", networks=[net])
    one.assert_reaches(other, port=80)
    one.exec("ip", "addr", "add", "10.9.0.200/24", "dev", "eth0", check=True)
    other.exec("ping", "-n", "-c1", "-W1", "10.9.0.200", check=True)


@pytest.mark.each_change
def test_a_mac_that_is_not_its_own_is_heard_by_nobody(cloud: Cloud) -> None:
    net = cloud.network("net", subnets=[SUBNET])
    web, client = cloud.vms("web", "client", networks=[net])
    client.assert_reaches(web)
    web.exec("ip", "link", "set", "eth0", "address", "fa:16:3e:ba:ad:00", check=True)
    client.assert_cannot_reach(web)
    web.exec("ip", "link", "set", "eth0", "address", web.port.mac_address, check=True)
    client.assert_reaches(web)
