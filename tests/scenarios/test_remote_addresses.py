"""fullstack test_securitygroup, neutron-tempest-plugin test_security_groups: rules by address."""

from fakevm import Cloud
from tests.scenarios.subnets import SUBNET


def test_a_rule_by_address_lets_in_that_one(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=[SUBNET])
    web = cloud.security_group("web", rules=["ingress tcp 80 from 10.9.0.100/32"])
    server = cloud.vm("server", on="compute-1", networks=[net], security_groups=[web])
    friend = cloud.vm(
        "friend", on="compute-2", nics=[{"network": net, "fixed_ips": ["10.9.0.100"]}]
    )
    stranger = cloud.vm("stranger", on="compute-2", networks=[net])
    friend.assert_reaches(server, port=80)
    stranger.assert_cannot_reach(server, port=80)


def test_an_address_group_lets_in_those_that_it_has(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("blue", subnets=[SUBNET])
    web = cloud.security_group("web")
    server, client = cloud.vms("server", "client", networks=[net], security_groups=[web])
    friends = sdk.create_address_group(name=cloud.name("friends"), addresses=["10.9.0.251/32"])
    sdk.create_security_group_rule(
        security_group_id=web.id,
        direction="ingress",
        protocol="tcp",
        remote_address_group_id=friends.id,
    )
    client.assert_cannot_reach(server, port=80)
    address = f"{client.addresses[0]}/32"
    sdk.add_addresses_to_address_group(friends, [address])
    client.assert_reaches(server, port=80)
    sdk.remove_addresses_from_address_group(friends, [address])
    client.assert_cannot_reach(server, port=80)
