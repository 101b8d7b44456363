"""Who should reach whom by Neutron's objects, and what is said where it is not so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from fakevm.backends.known import get
from fakevm.display import matrix as display
from fakevm.errors import UnavailableError
from fakevm.library.lab import Lab
from fakevm.reach import read
from fakevm.reach.expected import verdict
from fakevm.reach.matrix import Matrix, Pair, judged, ping, verdicts_of
from fakevm.reach.sweep import slots, spread
from fakevm.reach.topology import Nic, Router, RouterPort, Rule, Subnet, Topology
from tests.fakes.cloud import FakeCloud
from tests.fakes.host import Program
from tests.unit.conftest import World

# Two networks with a subnet each, and a VM on each of them; all may talk.
WEB = Nic(
    port_id="web-port",
    instance_id="web",
    host="compute-1",
    network_id="a",
    addresses={"10.0.0.5": "a4"},
    groups=frozenset({"open"}),
)
DB = replace(WEB, port_id="db-port", instance_id="db", network_id="b", addresses={"10.1.0.5": "b4"})
NEAR = replace(WEB, port_id="near-port", instance_id="near", addresses={"10.0.0.6": "a4"})
ALL = tuple(
    Rule(group_id="open", direction=direction, ethertype=ethertype)
    for direction in ("ingress", "egress")
    for ethertype in ("IPv4", "IPv6")
)
ROUTER = Router(id="r", interfaces={"a4": "10.0.0.1", "b4": "10.1.0.1"})
SUBNETS = {
    "a4": Subnet(id="a4", network_id="a", gateway_ip="10.0.0.1"),
    "b4": Subnet(id="b4", network_id="b", gateway_ip="10.1.0.1"),
}
# On the first subnet alone.
LEADS_OUT = replace(ROUTER, interfaces={"a4": "10.0.0.1"})
NETWORK = Topology(nics=(WEB, DB, NEAR), subnets=SUBNETS, routers=(ROUTER,), rules=ALL)


def reaches(topology: Topology, source: Nic, target: Nic) -> bool | None:
    found = verdict(topology, source.instance_id, target, next(iter(target.addresses)))
    assert found.reaches or found.why
    return found.reaches


def with_nics(*nics: Nic, topology: Topology = NETWORK) -> Topology:
    return replace(topology, nics=nics)


def with_rules(*rules: Rule) -> Topology:
    return replace(NETWORK, rules=rules)


def test_vms_of_one_network_and_of_one_router_reach_each_other() -> None:
    assert reaches(NETWORK, WEB, NEAR)
    assert reaches(NETWORK, WEB, DB)
    assert reaches(NETWORK, DB, WEB)
    assert reaches(replace(NETWORK, routers=()), WEB, NEAR)


@pytest.mark.parametrize(
    "router",
    [
        replace(ROUTER, up=False),
        replace(ROUTER, interfaces={"a4": "10.0.0.1"}),
        # Not the gateway that a VM there has.
        replace(ROUTER, interfaces={"a4": "10.0.0.1", "b4": "10.1.0.254"}),
        replace(ROUTER, interfaces={"a4": "10.0.0.254", "b4": "10.1.0.1"}),
    ],
)
def test_without_a_router_between_them_vms_are_apart(router: Router) -> None:
    assert reaches(replace(NETWORK, routers=(router,)), WEB, DB) is False


def test_a_host_route_leads_to_a_router_that_is_no_gateway() -> None:
    routed = replace(SUBNETS["b4"], gateway_ip=None, host_routes={"10.0.0.0/24": "10.1.0.254"})
    router = replace(ROUTER, interfaces={"a4": "10.0.0.1", "b4": "10.1.0.254"})
    topology = replace(NETWORK, routers=(router,), subnets={**SUBNETS, "b4": routed})
    assert reaches(topology, WEB, DB)


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        # To somewhere else: WEB sends to its gateway, which knows no way.
        ({"10.9.0.0/24": "10.0.0.254"}, False),
        ({"fd00::/8": "10.0.0.254"}, False),
        ({"10.1.0.0/24": "10.0.0.254"}, True),
        # The longest prefix is first, and the gateway before a route to everywhere.
        ({"10.0.0.0/8": "10.0.0.9", "10.1.0.0/24": "10.0.0.254"}, True),
        ({"10.0.0.0/8": "10.0.0.254", "10.1.0.0/24": "10.0.0.9"}, False),
        ({"0.0.0.0/0": "10.0.0.254"}, False),
    ],
)
def test_a_host_route_counts_for_what_it_leads_to(routes: dict[str, str], expected: bool) -> None:
    routed = replace(SUBNETS["a4"], host_routes=routes)
    router = replace(ROUTER, interfaces={"a4": "10.0.0.254", "b4": "10.1.0.1"})
    topology = replace(NETWORK, routers=(router, LEADS_OUT), subnets={**SUBNETS, "a4": routed})
    assert reaches(topology, WEB, DB) is expected
    # What answers goes the same way.
    assert reaches(topology, DB, WEB) is expected


def test_without_a_gateway_a_host_route_may_lead_everywhere() -> None:
    routed = replace(SUBNETS["a4"], gateway_ip=None, host_routes={"0.0.0.0/0": "10.0.0.1"})
    assert reaches(replace(NETWORK, subnets={**SUBNETS, "a4": routed}), WEB, DB)


@pytest.mark.parametrize("down", [WEB, NEAR])
def test_what_is_administratively_down_reaches_nothing(down: Nic) -> None:
    other = NEAR if down is WEB else WEB
    off = replace(down, up=False)
    topology = with_nics(off, other)
    assert reaches(topology, other, off) is False
    assert reaches(topology, off, other) is False


# Its answers go by another router than what it is sent.
OTHER_GATEWAY = {**SUBNETS, "b4": replace(SUBNETS["b4"], gateway_ip="10.1.0.2")}
BACK = Router(id="back", interfaces={"a4": "10.0.0.2", "b4": "10.1.0.2"})


@pytest.mark.parametrize(
    ("back", "expected"),
    [
        (BACK, True),
        (replace(BACK, routes=True), None),
        (replace(BACK, external="a"), True),
        (replace(BACK, interfaces={"b4": "10.1.0.2"}), False),
        (replace(BACK, interfaces={"b4": "10.1.0.2"}, external="a"), None),
        (replace(BACK, up=False), False),
    ],
)
def test_the_answer_s_way_may_be_another_router_s(back: Router, expected: bool | None) -> None:
    topology = replace(NETWORK, routers=(ROUTER, back), subnets=OTHER_GATEWAY)
    assert reaches(topology, WEB, DB) is expected
    # What is asked there is what is answered here.
    assert reaches(topology, DB, WEB) is expected


# Of the router whose interface is on the first subnet alone.
GATEWAY = RouterPort(
    port_id="gateway",
    router_id="r",
    host="network-1",
    network_id="b",
    mac_address="fa:16:3e:00:00:01",
    addresses=frozenset({"10.1.0.1"}),
    gateway=True,
)
OUT = replace(LEADS_OUT, external="b")
# The gateway of the network outside is a router of Neutron's, too.
EXTERNAL = Subnet(id="c4", network_id="c", gateway_ip="10.2.0.1")
INWARDS = Router(id="inwards", interfaces={"c4": "10.2.0.1", "b4": "10.1.0.1"})


@pytest.mark.parametrize(
    ("topology", "source", "target"),
    [
        (replace(NETWORK, routers=(replace(ROUTER, routes=True),)), WEB, DB),
        (replace(NETWORK, routers=(OUT,)), WEB, DB),
        (replace(NETWORK, routers=(OUT,), router_ports=(GATEWAY,)), DB, WEB),
        (
            replace(
                NETWORK,
                routers=(replace(OUT, external="c"), INWARDS),
                subnets={**SUBNETS, "c4": EXTERNAL},
            ),
            WEB,
            DB,
        ),
        (
            replace(
                NETWORK,
                routers=(),
                subnets={**SUBNETS, "a4": replace(SUBNETS["a4"], gateway_ip="10.0.0.6")},
            ),
            WEB,
            DB,
        ),
        (with_nics(WEB, DB, replace(NEAR, instance_id="web")), WEB, DB),
        (
            with_nics(WEB, DB, replace(NEAR, instance_id="db", addresses={"10.2.0.6": "c4"})),
            WEB,
            DB,
        ),
        (replace(NETWORK, subnets={"a4": SUBNETS["a4"]}), WEB, DB),
    ],
    ids=[
        "static routes",
        "by SNAT",
        "in by a gateway",
        "out and in again",
        "by a VM",
        "two ways out",
        "two ways back",
        "deleted meanwhile",
    ],
)
def test_what_nobody_can_tell_is_not_judged(topology: Topology, source: Nic, target: Nic) -> None:
    assert reaches(topology, source, target) is None


def test_what_is_outside_of_all_that_neutron_has_is_not_reached() -> None:
    outside = replace(NETWORK, routers=(replace(OUT, external="c"),), subnets=SUBNETS)
    assert reaches(outside, WEB, DB) is False


# Of a trunk whose parent is on the first network.
SUBPORT = replace(DB, port_id="sub-port", instance_id="", addresses={"10.1.0.6": "b4"})
TRUNK = replace(WEB, subports=(SUBPORT,))


def test_a_vm_with_a_trunk_may_reach_more_than_its_nic_does() -> None:
    apart = with_nics(TRUNK, DB, NEAR, topology=replace(NETWORK, routers=()))
    assert reaches(apart, TRUNK, NEAR)
    assert reaches(apart, TRUNK, DB) is None
    # What comes to its NIC may be answered by the subport; what does not come, is not.
    assert reaches(apart, DB, TRUNK) is False
    routed = with_nics(TRUNK, DB, NEAR)
    assert reaches(routed, TRUNK, DB) is reaches(routed, DB, TRUNK) is None
    elsewhere = replace(SUBPORT, addresses={"10.9.0.6": "c4"})
    third = Subnet(id="c4", network_id="c", gateway_ip="10.9.0.1")
    beside = with_nics(replace(WEB, subports=(elsewhere,)), DB, topology=replace(apart, nics=()))
    beside = replace(beside, subnets={**SUBNETS, "c4": third})
    assert reaches(beside, WEB, DB) is False
    led = Router(id="c", interfaces={"c4": "10.9.0.1", "b4": "10.1.0.1"})
    assert reaches(replace(beside, routers=(led,)), WEB, DB) is None


# As WEB's, on its network.
SECOND = Subnet(id="a4-2", network_id="a", gateway_ip="10.0.1.1")
ON_SECOND = replace(NEAR, addresses={"10.0.1.6": "a4-2"})


def with_second(*, dhcp: bool, agents: bool, routers: tuple[Router, ...] = ()) -> Topology:
    subnets = {one.id: replace(one, dhcp=dhcp) for one in (SUBNETS["a4"], SECOND)}
    topology = replace(NETWORK, subnets=subnets, dhcp_agents=agents, routers=routers)
    return with_nics(WEB, ON_SECOND, topology=topology)


@pytest.mark.parametrize(
    ("dhcp", "agents", "expected"),
    [(True, True, None), (False, True, False), (True, False, False)],
)
def test_dhcp_agents_tell_of_all_subnets_of_a_network(
    dhcp: bool, agents: bool, expected: bool | None
) -> None:
    assert reaches(with_second(dhcp=dhcp, agents=agents), WEB, ON_SECOND) is expected
    between = Router(id="r", interfaces={"a4": "10.0.0.1", "a4-2": "10.0.1.1"})
    routed = with_second(dhcp=dhcp, agents=agents, routers=(between,))
    assert reaches(routed, WEB, ON_SECOND)


def test_without_a_router_nobody_learns_an_address_from_its_advertisements() -> None:
    web = replace(WEB, addresses={"2001:db8::5": "a6"})
    near = replace(NEAR, addresses={"2001:db8::6": "a6"})
    subnet = Subnet(id="a6", network_id="a", gateway_ip="2001:db8::1", slaac=True)
    silent = with_nics(web, near, topology=replace(NETWORK, subnets={"a6": subnet}, routers=()))
    assert reaches(silent, web, near) is None
    router = Router(id="r", interfaces={"a6": "2001:db8::1"})
    assert reaches(replace(silent, routers=(router,)), web, near)
    assert reaches(replace(silent, routers=(replace(router, up=False),)), web, near) is None
    by_hand = replace(silent, subnets={"a6": replace(subnet, slaac=False)})
    assert reaches(by_hand, web, near)


def test_a_vm_with_two_nics_reaches_what_is_on_its_own_networks() -> None:
    second = replace(DB, port_id="web-2", instance_id="web", addresses={"10.1.0.6": "b4"})
    assert reaches(with_nics(WEB, second, DB, NEAR), WEB, DB)


INGRESS, EGRESS = (
    Rule(group_id="open", direction=direction, ethertype="IPv4")
    for direction in ("ingress", "egress")
)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((INGRESS, EGRESS), True),
        ((INGRESS,), False),
        ((EGRESS,), False),
        ((replace(INGRESS, protocol="icmp"), EGRESS), True),
        ((replace(INGRESS, protocol="1"), EGRESS), True),
        ((replace(INGRESS, protocol="tcp", port_min=22, port_max=22), EGRESS), False),
        ((replace(INGRESS, protocol="icmp", port_min=8), EGRESS), True),
        ((replace(INGRESS, protocol="icmp", port_min=8, port_max=0), EGRESS), True),
        ((replace(INGRESS, protocol="icmp", port_min=3), EGRESS), False),
        ((replace(INGRESS, ethertype="IPv6"), EGRESS), False),
        ((replace(INGRESS, remote_prefix="10.0.0.0/24"), EGRESS), True),
        ((replace(INGRESS, remote_prefix="10.9.0.0/24"), EGRESS), False),
        ((replace(INGRESS, remote_group="open"), EGRESS), True),
        ((replace(INGRESS, remote_group="closed"), EGRESS), False),
        ((replace(INGRESS, remote_address_group="admins"), EGRESS), True),
        ((replace(INGRESS, remote_address_group="nobody"), EGRESS), False),
        ((replace(INGRESS, group_id="closed"), EGRESS), False),
    ],
)
def test_security_groups_allow_what_they_have_a_rule_for(
    rules: tuple[Rule, ...], expected: bool
) -> None:
    topology = replace(with_rules(*rules), address_groups={"admins": ("10.0.0.4/30",)})
    assert reaches(topology, WEB, NEAR) is expected
    assert reaches(topology, WEB, DB) is expected


def test_without_port_security_no_rule_is_needed() -> None:
    free = replace(NEAR, port_security=False)
    assert reaches(replace(with_nics(WEB, free), rules=(EGRESS,)), WEB, free)
    assert reaches(replace(with_nics(WEB, free), rules=()), WEB, free) is False


def test_where_nobody_filters_no_rule_is_needed() -> None:
    assert reaches(replace(with_rules(), filtered=False), WEB, NEAR)
    assert reaches(replace(with_rules(), filtered=False), WEB, DB)
    apart = replace(with_rules(), routers=(), filtered=False)
    assert reaches(apart, WEB, DB) is False


@pytest.mark.parametrize("firewall", ["openvswitch", "noop"])
def test_the_firewall_driver_noop_filters_nothing(
    world: World, cloud: FakeCloud, firewall: str
) -> None:
    world.engine.environments["network-1"] = {"OS_SECURITYGROUP__FIREWALL_DRIVER": firewall}
    with Lab(engine=world.engine, neutron=cloud, open_stream=world.stream, agent_s=5) as lab:
        net = lab.network("blue", subnets=[{"cidr": "10.1.0.0/24", "enable_dhcp": False}])
        group = lab.security_group("closed", rules=[])
        one, other = (
            lab.vm(f"on-{host}", on=host, networks=[net], security_groups=[group])
            for host in ("compute-1", "compute-2")
        )
        world.agents["compute-1"].programs["bash"] = answered_by(other.addresses[0])
        world.agents["compute-2"].programs["bash"] = answered_by(one.addresses[0])
        found = ping(lab)
    assert [pair.answered for pair in found.pairs] == [True, True]
    assert [pair.expected for pair in found.pairs] == [firewall == "noop"] * 2


@pytest.mark.parametrize(
    ("firewall", "expected"), [("openvswitch", True), ("iptables_hybrid", False)]
)
def test_the_firewall_driver_openvswitch_takes_every_group_for_stateful(
    world: World, cloud: FakeCloud, firewall: str, expected: bool
) -> None:
    world.engine.environments["network-1"] = {"OS_SECURITYGROUP__FIREWALL_DRIVER": firewall}
    with Lab(engine=world.engine, neutron=cloud, open_stream=world.stream, agent_s=5) as lab:
        net = lab.network("blue", subnets=[{"cidr": "10.1.0.0/24", "enable_dhcp": False}])
        group = lab.security_group("pings", stateful=False, rules=[])
        for host in ("compute-1", "compute-2"):
            lab.vm(f"on-{host}", on=host, networks=[net], security_groups=[group])
            world.agents[host].programs["bash"] = answered_by("nobody")
        for direction in ("ingress", "egress"):
            body = {"direction": direction, "protocol": "icmp", "port_range_min": 8}
            rule = {**body, "ethertype": "IPv4", "security_group_id": group.id}
            cloud.write("POST", "/security-group-rules", {"security_group_rule": rule})
        found = ping(lab)
    assert [pair.expected for pair in found.pairs] == [expected] * 2


def test_what_dhcp_agents_tell_of_is_not_judged(world: World, cloud: FakeCloud) -> None:
    cidrs = ("10.1.0.0/24", "10.1.1.0/24")
    with Lab(engine=world.engine, neutron=cloud, open_stream=world.stream, agent_s=5) as lab:
        net = lab.network("blue", subnets=[{"cidr": cidr, "name": cidr} for cidr in cidrs])
        for number, host in enumerate(("compute-1", "compute-2")):
            ips = [f"10.1.{number}.9"]
            lab.vm(
                f"on-{host}",
                on=host,
                nics=[{"network": net, "fixed_ips": ips, "addressing": "none"}],
            )
            world.agents[host].programs["bash"] = answered_by("nobody")
        found = ping(lab)
    assert [pair.expected for pair in found.pairs] == [None] * 2


def answered_by(address: str) -> Program:
    def program(
        _stdin: bytearray, say: Callable[[str, bytes], None], _ended: threading.Event
    ) -> int:
        say("stdout", f"{address}\n".encode())
        return 0

    return program


def test_the_answer_of_a_stateless_group_needs_a_rule_of_its_own() -> None:
    request = (
        replace(INGRESS, protocol="icmp", port_min=8),
        replace(EGRESS, protocol="icmp", port_min=8),
    )
    assert reaches(with_rules(*request), WEB, NEAR)
    stateless = replace(with_rules(*request), stateless=frozenset({"open"}))
    assert reaches(stateless, WEB, NEAR) is False
    answer = tuple(replace(rule, port_min=0) for rule in request)
    assert reaches(replace(stateless, rules=(*request, *answer)), WEB, NEAR)


@pytest.mark.parametrize(
    ("backend", "firewall", "expected"),
    [
        ("ovs", "openvswitch", False),
        ("ovs", "iptables_hybrid", True),
        ("ovs", "noop", False),
        ("ovn", "", True),
    ],
)
def test_who_applies_groups_knows_of_stateless_ones_or_not(
    backend: str, firewall: str, expected: bool
) -> None:
    assert get(backend).has_stateless({"firewall": firewall}) is expected


def test_ipv6_is_judged_by_its_own_rules() -> None:
    web = replace(WEB, addresses={"2001:db8::5": "a6"})
    near = replace(NEAR, addresses={"2001:db8::6": "a6"})
    rule = replace(INGRESS, ethertype="IPv6", protocol="ipv6-icmp", port_min=128)
    out = replace(EGRESS, ethertype="IPv6")
    assert reaches(replace(with_nics(web, near), rules=(rule, out)), web, near)
    assert reaches(replace(with_nics(web, near), rules=ALL[:1]), web, near) is False


ROUTE = {"destination": "10.9.0.0/24", "nexthop": "10.1.0.9"}


@pytest.mark.parametrize(
    ("words", "routes", "dhcp", "slaac"),
    [
        ({"cidr": "10.1.0.0/24"}, 1, True, False),
        # Whoever is told his address by nobody is told no route, either.
        ({"cidr": "10.1.0.0/24", "enable_dhcp": False}, 0, False, False),
        ({"cidr": "fd00::/64", "ip_version": 6, "ipv6_address_mode": "slaac"}, 0, False, True),
        (
            {"cidr": "fd00::/64", "ip_version": 6, "ipv6_address_mode": "dhcpv6-stateful"},
            *(0, False, False),
        ),
    ],
)
def test_a_subnet_has_what_its_vms_are_told(
    cloud: FakeCloud, words: dict[str, object], routes: int, dhcp: bool, slaac: bool
) -> None:
    network = cloud.write("POST", "/networks", {"network": {"name": "n"}})["network"]["id"]
    body = {"ip_version": 4, "enable_dhcp": True, "host_routes": [ROUTE], "network_id": network}
    cloud.write("POST", "/subnets", {"subnet": {**body, **words}})
    (subnet,) = read.topology(cloud).subnets.values()
    assert (len(subnet.host_routes), subnet.dhcp, subnet.slaac) == (routes, dhcp, slaac)


def test_a_port_is_down_by_itself_alone_and_has_its_trunk_s_subports(cloud: FakeCloud) -> None:
    body = {"name": "n", "admin_state_up": False}
    network = cloud.write("POST", "/networks", {"network": body})["network"]["id"]
    parent, inner, down = (
        cloud.create_port({"network_id": network, "device_owner": owner, **more}).id
        for owner, more in (
            ("compute:nova", {}),
            ("", {}),
            ("compute:nova", {"admin_state_up": False}),
        )
    )
    trunk = {"port_id": parent, "sub_ports": [{"port_id": inner}, {"port_id": "newer"}]}
    cloud.write("POST", "/trunks", {"trunk": trunk})
    nics = {nic.port_id: nic for nic in read.topology(cloud).nics}
    assert nics.keys() == {parent, down}
    assert (nics[parent].up, nics[down].up) == (True, False)
    assert [one.port_id for one in nics[parent].subports] == [inner]


PLACES = [("10.0.0.5", WEB), ("10.1.0.5", DB), ("10.0.0.6", NEAR)]
NAMES = {"web": "web", "db": "db", "near": "near"}


def pairs(topology: Topology, *answered: str, places: list[tuple[str, Nic]] = PLACES) -> list[Pair]:
    return list(judged("web", NAMES, verdicts_of(topology, "web", places), answered))


def test_silence_and_answers_are_compared_with_what_should_be() -> None:
    apart = replace(NETWORK, routers=())
    db, near = pairs(apart, "10.0.0.6")
    assert not db.failed
    assert "no router" in db.why
    assert not near.failed
    db, near = pairs(apart, "10.1.0.5")
    assert db.failed
    assert near.failed


def test_of_a_vm_that_cannot_ask_all_that_should_answer_fails() -> None:
    gone = UnavailableError("compute-1 is exited")
    verdicts = verdicts_of(replace(NETWORK, routers=()), "web", PLACES)
    db, near = judged("web", NAMES, verdicts, gone)
    assert near.failed
    assert "compute-1 is exited" in display.words(near)
    assert (db.answered, db.failed) == (None, True)


def test_an_address_that_two_vms_have_is_judged_where_it_is_reached() -> None:
    twin = replace(DB, addresses={"10.0.0.6": "c4"})
    places = [("10.0.0.5", WEB), ("10.0.0.6", twin), ("10.0.0.6", NEAR)]
    there, near = pairs(with_nics(WEB, twin, NEAR), "10.0.0.6", places=places)
    assert (there.expected, near.expected) == (None, True)


MATRIX = Matrix(
    lab="fakevm",
    vms=("db", "web"),
    seconds=1.5,
    pairs=(
        Pair(
            source="db",
            source_id="d",
            target="web",
            address="10.0.0.5",
            answered=False,
            expected=True,
        ),
        Pair(
            source="web",
            source_id="w",
            target="db",
            address="10.1.0.5",
            answered=True,
            expected=False,
            why="w",
        ),
        Pair(
            source="web",
            source_id="w",
            target="db",
            address="10.2.0.5",
            answered=True,
            expected=None,
            why="n",
        ),
    ),
)


def test_a_grid_has_the_worst_of_two_vms(capsys: pytest.CaptureFixture[str]) -> None:
    display.show(MATRIX)
    out = capsys.readouterr().out
    grid = [line.split() for line in out.splitlines()[1:3]]
    assert grid == [["1", "db", "✗"], ["2", "web", "!"]]
    assert "db → web (10.0.0.5): no answer, and one should come" in out
    assert "web → db (10.1.0.5): an answer came that should not: w" in out
    assert "1 of 3 are as Neutron has it, 1 of them not judged" in out


def test_a_ci_reads_it_as_tests() -> None:
    suite = ElementTree.fromstring(display.junit(MATRIX))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "2", "1")
    assert [len(case) for case in suite] == [1, 1, 1]
    assert suite[0].get("classname") == "db"


@pytest.mark.parametrize("count", [2, 3, 4, 7, 20])
@pytest.mark.parametrize("neighbours", [1, 30, 1000])
def test_in_a_sweep_every_vm_asks_every_other_one_once(count: int, neighbours: int) -> None:
    addresses = {f"vm-{n}": [f"10.0.0.{n}", f"fd00::{n}"] for n in range(count)}
    found = slots(addresses, neighbours=neighbours)
    assert len({len(asked) for asked in found.values()}) == 1
    for vm, asked in found.items():
        others = [a for other, own in addresses.items() if other != vm for a in own]
        assert sorted(address for slot in asked for address in slot) == sorted(others)
    for number in range(len(found["vm-0"])):
        # Two who ask each other do so in one slot: each has the other among its neighbours then.
        known = {(vm, a) for vm, asked in found.items() for a in asked[number]}
        asks = {(vm, a.rpartition(".")[2]) for vm, a in known if ":" not in a}
        assert {(f"vm-{n}", vm[3:]) for vm, n in asks} == asks
        assert len(known) <= max(neighbours, 2 * 2 * count)


def test_a_few_vms_need_one_slot() -> None:
    found = slots({f"vm-{n}": [f"10.0.0.{n}"] for n in range(18)})
    assert {len(asked) for asked in found.values()} == {1}


@pytest.mark.parametrize("neighbours", [1, 30, 1000])
def test_what_is_asked_again_is_asked_once(neighbours: int) -> None:
    addresses = {f"vm-{n}": [f"10.0.0.{i}" for i in range(n)] for n in range(1, 9)}
    found = spread(addresses, neighbours=neighbours)
    assert len({len(asked) for asked in found.values()}) == 1
    for vm, asked in found.items():
        assert sorted(address for slot in asked for address in slot) == addresses[vm]
    for number in range(len(found["vm-1"])):
        slot = [address for asked in found.values() for address in asked[number]]
        assert 2 * len(slot) <= max(neighbours, 2)
    assert spread({}) == {}
