"""fullstack test_securitygroup, neutron-tempest-plugin test_security_groups: rules by group."""

from fakevm import Cloud
from tests.scenarios.subnets import SUBNET


def test_only_members_of_the_remote_group_are_let_in(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=[SUBNET])
    admin = cloud.security_group("admin")
    web = cloud.security_group("web", rules=[f"ingress tcp 22 from {admin}"])
    server, client = cloud.vms("server", "client", networks=[net], security_groups=[web])
    client.assert_cannot_reach(server, port=22)
    # Who becomes a member is let in, who is none any more is not.
    sdk = cloud.lab.openstack.network
    sdk.update_port(client.port.id, security_group_ids=[admin.id])
    client.assert_reaches(server, port=22)
    sdk.update_port(client.port.id, security_group_ids=[web.id])
    client.assert_cannot_reach(server, port=22)


def test_a_member_that_boots_later_is_let_in(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=[SUBNET])
    admin = cloud.security_group("admin")
    web = cloud.security_group("web", rules=[f"ingress tcp 3355 from {admin}"])
    server = cloud.vm("server", on="compute-1", networks=[net], security_groups=[web])
    near = cloud.vm("near", on="compute-1", networks=[net], security_groups=[admin])
    far = cloud.vm("far", on="compute-2", networks=[net], security_groups=[admin])
    near.assert_reaches(server, port=3355)
    far.assert_reaches(server, port=3355)
    server.assert_cannot_reach(far, port=3355)


def test_remote_groups_that_overlap_each_let_in_their_own(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=[SUBNET])
    one, two = cloud.security_group("one"), cloud.security_group("two")
    rules = [f"ingress tcp 3333 from {one}", f"ingress from {two}"]
    web = cloud.security_group("web", rules=rules)
    server = cloud.vm("server", on="compute-1", networks=[net], security_groups=[web])
    first = cloud.vm("first", on="compute-2", networks=[net], security_groups=[one])
    second = cloud.vm("second", on="compute-1", networks=[net], security_groups=[two])
    first.assert_reaches(server, port=3333)
    first.assert_cannot_reach(server, port=8080)
    second.assert_reaches(server, port=3333)
    second.assert_reaches(server, port=8080)


def test_the_default_group_lets_in_its_own_members_alone(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=[SUBNET])
    other = cloud.security_group("other")
    one, two = cloud.vms("one", "two", networks=[net])
    stranger = cloud.vm("stranger", on="compute-1", networks=[net], security_groups=[other])
    one.assert_reaches(two, port=80)
    stranger.assert_cannot_reach(two, port=80)
    one.assert_cannot_reach(stranger, port=80)
