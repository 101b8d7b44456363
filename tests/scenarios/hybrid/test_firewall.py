"""fullstack test_firewall, test_securitygroup (iptables): the driver, and its successor."""

from pathlib import Path

import pytest

from fakevm import Cloud

pytestmark = pytest.mark.fakevm(backend="ovs")

SUBNET = "20.0.0.0/24"


def test_port_80_is_open(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=[SUBNET])
    group = cloud.security_group("web", rules=["ingress tcp 80"])
    web, client = cloud.vms("web", "client", networks=[net], security_groups=[group])
    client.assert_reaches(web, port=80)
    client.assert_cannot_reach(web, port=22)


def test_without_state_answers_need_a_rule(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=[SUBNET])
    web = cloud.security_group("web", rules=["ingress tcp 80"], stateful=False)
    plain = cloud.security_group("plain", rules=[], stateful=False)
    server = cloud.vm("server", on="compute-1", networks=[net], security_groups=[web])
    client = cloud.vm("client", on="compute-2", networks=[net], security_groups=[plain])
    client.assert_cannot_reach(server, port=80)
    cloud.security_group("plain", rules=["ingress tcp"], stateful=False)
    client.assert_reaches(server, port=80)


def test_vms_keep_their_rules_when_open_vswitch_takes_over(
    cloud: Cloud, agents_config: Path
) -> None:
    net = cloud.network("blue", subnets=[SUBNET])
    group = cloud.security_group("web", rules=["ingress icmp"])
    web, client = cloud.vms("web", "client", networks=[net], security_groups=[group])
    client.ping(web)
    mine = agents_config / "openvswitch_agent.ini"
    mine.write_text("[securitygroup]\nfirewall_driver = openvswitch\n")
    try:
        cloud.lab.restart(cloud.hosts, only="l2-agent")
        client.assert_reaches(web)
        client.assert_cannot_reach(web, port=80)
        cloud.security_group("web", rules=["ingress tcp 80"])
        client.assert_reaches(web, port=80)
        client.assert_cannot_reach(web)
    finally:
        mine.unlink()
        cloud.lab.restart(cloud.hosts, only="l2-agent")
