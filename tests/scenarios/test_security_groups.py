"""fullstack test_securitygroup: what rules let pass, and from when on."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from openstack.exceptions import ConflictException

from fakevm import Cloud
from fakevm.library.behind.words import NicWords
from tests.scenarios.subnets import SUBNET


@pytest.mark.each_change
def test_port_80_is_open(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=[SUBNET])
    group = cloud.security_group("web", rules=["ingress tcp 80"])
    web, client = cloud.vms("web", "client", networks=[net], security_groups=[group])
    client.assert_reaches(web, port=80)
    with ThreadPoolExecutor() as pool:
        ssh = pool.submit(client.assert_cannot_reach, web, port=22)
        udp = pool.submit(client.assert_cannot_reach, web, port=80, protocol="udp")
    ssh.result(), udp.result()


def test_rules_that_change_count_at_once(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=[SUBNET])
    group = cloud.security_group("web", rules=["ingress tcp 3344"])
    web, client = cloud.vms("web", "client", networks=[net], security_groups=[group])
    client.assert_reaches(web, port=3344)
    client.assert_cannot_reach(web, port=3366)
    cloud.security_group("web", rules=["ingress tcp 1-65535"])
    client.assert_reaches(web, port=3366)
    cloud.security_group("web", rules=[])
    client.assert_cannot_reach(web, port=3344)


def test_who_is_let_in_no_more_is_cut_off_in_the_midst(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=[SUBNET])
    group = cloud.security_group("web", rules=["ingress icmp"])
    web, client = cloud.vms("web", "client", networks=[net], security_groups=[group])
    client.assert_reaches(web)
    with ThreadPoolExecutor() as pool:
        # Of one flow, which conntrack knows as established.
        flow = pool.submit(client.exec, "ping", "-i0.1", "-c80", "-W1", web.addresses[0])
        client.assert_reaches(web)
        cloud.security_group("web", rules=[])
        said = flow.result().stdout
    assert "icmp_seq=1 " in said
    assert "icmp_seq=80 " not in said


def test_a_port_has_the_rules_of_all_its_groups(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("blue", subnets=[SUBNET])
    ssh = cloud.security_group("ssh", rules=["ingress tcp 22"])
    web = cloud.security_group("web", rules=["ingress tcp 80"])
    server, client = cloud.vms("server", "client", networks=[net], security_groups=[ssh, web])
    client.assert_reaches(server, port=22)
    client.assert_reaches(server, port=80)
    sdk.update_port(server.port.id, security_group_ids=[web.id])
    client.assert_cannot_reach(server, port=22)
    client.assert_reaches(server, port=80)


def test_without_rules_of_its_own_nothing_leaves(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=[SUBNET])
    web = cloud.security_group("web", rules=["ingress udp", "ingress tcp"])
    mute = cloud.security_group("mute", rules=["egress udp 53"], default_rules=False)
    server = cloud.vm("server", on="compute-1", networks=[net], security_groups=[web])
    client = cloud.vm("client", on="compute-2", networks=[net], security_groups=[mute])
    client.assert_reaches(server, port=53, protocol="udp")
    client.assert_cannot_reach(server, port=53)


@pytest.mark.fault(
    "ovn",
    raises=AssertionError,
    reason="scenario T, `barred-dhcp`: what drops all else drops DHCP's requests, too"
    " (`create_neutron_pg_drop`, common/ovn/utils.py)",
)
def test_dhcp_needs_no_rule(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=["10.1.0.0/24"])
    mute = cloud.security_group("mute", rules=[], default_rules=False)
    vm = cloud.vm("mute", networks=[net], security_groups=[mute], addressing="none")
    assert "DHCPACK" in vm.exec("timeout", "8", "dhclient", "-1", "-v", "eth0").stderr


def test_rules_of_ipv4_and_of_ipv6_are_apart(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=[{"cidr": "fd00:20::/64", "enable_dhcp": False}])
    group = cloud.security_group("web", rules=["ingress tcp 80", "ingress ipv6 tcp 81"])
    web, client = cloud.vms("web", "client", networks=[net], security_groups=[group])
    client.assert_reaches(web, port=81)
    client.assert_cannot_reach(web, port=80)


def test_the_same_mac_twice_on_a_host(cloud: Cloud) -> None:
    ports = {"blue": 4444, "red": 4445}

    def check(name: str) -> None:
        net = cloud.network(name, subnets=[SUBNET])
        group = cloud.security_group(name, rules=[f"ingress tcp {ports[name]}"])
        same: list[NicWords] = [{"network": net, "mac_address": "fa:16:3e:de:ad:fe"}]
        one = cloud.vm(f"{name}-1", on="compute-1", nics=same, security_groups=[group])
        other = cloud.vm(f"{name}-2", on="compute-2", networks=[net], security_groups=[group])
        both.wait()
        other.assert_reaches(one, port=ports[name])
        one.assert_reaches(other, port=ports[name])
        (not_its,) = set(ports.values()) - {ports[name]}
        other.assert_cannot_reach(one, port=not_its, within_s=4)

    both = Barrier(len(ports), timeout=60)
    with ThreadPoolExecutor() as pool:
        list(pool.map(check, ports))


@pytest.mark.fakevm(backend="ovn")
def test_without_state_answers_need_a_rule(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=[SUBNET])
    web = cloud.security_group("web", rules=["ingress tcp 80"], stateful=False)
    plain = cloud.security_group("plain", rules=[], stateful=False)
    server = cloud.vm("server", on="compute-1", networks=[net], security_groups=[web])
    client = cloud.vm("client", on="compute-2", networks=[net], security_groups=[plain])
    client.assert_cannot_reach(server, port=80)
    cloud.security_group("plain", rules=["ingress tcp"], stateful=False)
    client.assert_reaches(server, port=80)


def test_with_and_without_state_do_not_go_together(cloud: Cloud) -> None:
    net = cloud.network("blue")
    with_state = cloud.security_group("with")
    without = cloud.security_group("without", stateful=False)
    with pytest.raises(ConflictException):
        cloud.lab.openstack.network.create_port(
            name=cloud.name("port"),
            network_id=net.id,
            security_group_ids=[with_state.id, without.id],
        )
