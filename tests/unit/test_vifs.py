from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fakevm.backends.backend import HostState
from fakevm.backends.ovn import OVN
from fakevm.backends.ovs import OVS
from fakevm.errors import ConfigError, ConflictError, NotFoundError
from fakevm.inventory import addresses, vifs
from fakevm.inventory.rows import join
from fakevm.model import PluggedVif, Vm
from fakevm.names import find_host, find_port
from fakevm.neutron.values import NeutronAgent, Port, PortIp
from tests.fakes.neutron import make_network, make_subnet

PORT = Port(
    id="aaaaaaaa-0000-4000-8000-000000000001",
    name="web",
    network_id=make_network().id,
    mac_address="fa:16:3e:00:00:01",
    status="ACTIVE",
    device_id="11111111-0000-4000-8000-000000000001",
    device_owner="compute:nova",
    host="compute-1",
    vif_type="ovs",
    fixed_ips=(PortIp(ip_address="10.0.1.5", subnet_id=make_subnet().id),),
)
PLUGGED = PluggedVif(
    port_id=PORT.id,
    instance_id=PORT.device_id,
    vm_name="vm",
    netns=PORT.device_id,
    nic="eth0",
    device="tapaaaaaaaa-00",
    mac_address=PORT.mac_address,
    mtu=1450,
    ofport=3,
    addresses=("10.0.1.5/24",),
)
V6: dict[str, Any] = {"cidr": "fd00::/64", "ip_version": 6, "gateway_ip": "fd00::1"}


def test_a_vm_s_name_stands_for_the_same_instance_every_time() -> None:
    assert vifs.vm_of("web") == vifs.vm_of("web")
    assert vifs.vm_of("web").instance_id != vifs.vm_of("web2").instance_id
    assert vifs.vm_of("web").name == "web"


def test_an_instance_id_is_taken_as_it_is() -> None:
    instance = "11111111-AAAA-4000-8000-000000000001"
    assert vifs.vm_of(instance) == Vm(instance_id=instance.lower(), name=instance)


@pytest.mark.parametrize("name", ["[red]", "仮想-Ω", "$(id); 'x'", "a" * 255, "two words"])
def test_a_vm_may_be_named_anything_printable(name: str) -> None:
    assert vifs.vm_of(name).name == name


@pytest.mark.parametrize("name", ["", " ", " a", "a\n", "\x1b[31m", "a" * 256])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        vifs.vm_of(name)


def test_a_port_of_no_vm_gets_one_of_its_own() -> None:
    vm = vifs.vm_of_port(replace(PORT, device_id=""))
    assert vm == vifs.vm_of_port(replace(PORT, device_id=""))
    assert vm.instance_id != vifs.vm_of_port(replace(PORT, id="b", device_id="")).instance_id


@pytest.mark.parametrize("ref", [PORT.id, "web", "aaaa", "AAAA"])
def test_a_port_is_found_by_uuid_name_or_prefix(ref: str) -> None:
    other = replace(PORT, id="bbbbbbbb-0000-4000-8000-000000000001", name="db")
    assert find_port(ref, [PORT, other]) == PORT


def test_a_name_wins_over_the_beginning_of_another_uuid() -> None:
    named = replace(PORT, id="bbbbbbbb-0000-4000-8000-000000000001", name="aaaa")
    assert find_port("aaaa", [PORT, named]) == named


@pytest.mark.parametrize(("ref", "names"), [("aaaa", ("web", "db")), ("web", ("web", "web"))])
def test_an_ambiguous_port_is_an_error_with_the_matches(ref: str, names: tuple[str, str]) -> None:
    ports = [replace(PORT, id=f"aaaa{n}", name=name) for n, name in enumerate(names)]
    with pytest.raises(ConflictError, match=f"aaaa0 \\({names[0]}\\), aaaa1 \\({names[1]}\\)"):
        find_port(ref, ports)


@pytest.mark.parametrize("ref", ["", "nothing"])
def test_an_unknown_port_is_not_found(ref: str) -> None:
    with pytest.raises(NotFoundError, match=f"no port '{ref}'"):
        find_port(ref, [PORT])


def test_a_host_is_found_by_name_or_container_id() -> None:
    hosts = {"compute-1": "c0ffee" * 10, "compute-2": "deadbeef" * 8}
    assert find_host("compute-2", hosts) == "compute-2"
    assert find_host("c0ffeec0ffee", hosts) == "compute-1"
    with pytest.raises(NotFoundError, match="'compute-9'; there are compute-1, compute-2"):
        find_host("compute-9", hosts)
    with pytest.raises(NotFoundError):
        find_host("", hosts)


def test_a_new_vm_goes_to_the_host_with_the_fewest() -> None:
    ports = [replace(PORT, device_id="a"), replace(PORT, device_id="b", host="compute-2")]
    hosts = ["compute-1", "compute-2", "compute-3"]
    assert vifs.choose_host("new", hosts=hosts, ports=ports) == "compute-3"
    assert vifs.choose_host("new", hosts=hosts[:2], ports=ports[:1]) == "compute-2"


def test_two_nics_of_a_vm_count_once() -> None:
    ports = [PORT, PORT, *(replace(PORT, device_id=d, host="compute-2") for d in "ab")]
    assert vifs.choose_host("new", hosts=["compute-2", "compute-1"], ports=ports) == "compute-1"


def test_another_nic_goes_where_the_vm_is() -> None:
    assert vifs.choose_host(PORT.device_id, hosts=["compute-2"], ports=[PORT]) == "compute-1"


def test_without_a_healthy_host_there_is_no_choice() -> None:
    with pytest.raises(ConflictError):
        vifs.choose_host("new", hosts=[], ports=[])


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, "dhcp"),
        ({"enable_dhcp": False}, "static"),
        ({**V6, "ipv6_address_mode": "slaac"}, "slaac"),
        ({**V6, "ipv6_address_mode": "dhcpv6-stateless"}, "slaac"),
        ({**V6, "ipv6_address_mode": "dhcpv6-stateful"}, "dhcpv6"),
        (V6, "static"),
    ],
)
def test_the_subnet_says_how_a_vm_comes_by_its_address(
    attributes: dict[str, Any], expected: str
) -> None:
    subnet = make_subnet(**attributes)
    assert addresses.method(subnet, "dhcp") == expected
    assert addresses.method(subnet, "static") == "static"
    assert addresses.method(subnet, "none") == "none"


def test_nobody_has_an_address_by_slaac_where_nobody_advertises() -> None:
    subnet = make_subnet(2, **V6, ipv6_address_mode="slaac")
    port = replace(PORT, fixed_ips=(PortIp(ip_address="fd00::5", subnet_id=subnet.id),))
    network = make_network("net", subnet)
    (heard,) = addresses.fixed_ips(port, network, "dhcp")
    (silent,) = addresses.fixed_ips(port, network, "dhcp", silent={subnet.id})
    (static,) = addresses.fixed_ips(port, network, "static", silent={subnet.id})
    assert (heard.method, silent.method, static.method) == ("slaac", "none", "static")
    assert (heard.prefix_len, heard.gateway_ip) == (64, "fd00::1")


def test_a_port_has_an_address_of_every_subnet() -> None:
    subnets = [make_subnet(1), make_subnet(2)]
    assert addresses.requested_ips((), subnets) == [{"subnet_id": s.id} for s in subnets]


def test_what_neutron_gives_by_itself_is_not_asked_for() -> None:
    slaac = [make_subnet(n, ip_version=6, ipv6_address_mode="slaac") for n in (2, 3)]
    stateful = make_subnet(4, ip_version=6, ipv6_address_mode="dhcpv6-stateful")
    assert addresses.requested_ips((), [make_subnet(1), *slaac, stateful]) == []
    assert addresses.requested_ips((), []) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.1.9", {"ip_address": "10.0.1.9"}),
        ("fd00::9", {"ip_address": "fd00::9"}),
        ("subnet=s1", {"subnet_id": make_subnet().id}),
        (
            f"subnet={make_subnet().id},ip-address=10.0.1.9",
            {"subnet_id": make_subnet().id, "ip_address": "10.0.1.9"},
        ),
    ],
)
def test_a_fixed_ip_is_written_as_the_openstack_client_has_it(
    text: str, expected: dict[str, str]
) -> None:
    assert addresses.requested_ips([text], [make_subnet()]) == [expected]


@pytest.mark.parametrize("text", ["", "10.0.0.999", "subnet=", "address=10.0.0.1", "subnet=a,b"])
def test_a_fixed_ip_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        addresses.requested_ips([text], [make_subnet()])


def test_a_subnet_of_another_network_is_refused() -> None:
    with pytest.raises(NotFoundError):
        addresses.requested_ips(["subnet=elsewhere"], [make_subnet()])


def test_a_vif_that_is_as_neutron_has_it_does_not_differ() -> None:
    (row,) = join([PORT], {"compute-1": [PLUGGED], "compute-2": []})
    assert (row.differs, row.vm_name, row.plugged_host) == ("", "vm", "compute-1")


@pytest.mark.parametrize(
    ("port", "plugged", "words"),
    [
        ({"host": "compute-2"}, {}, "plugged on compute-1, bound to compute-2"),
        ({"status": "DOWN"}, {}, "plugged, but the port is DOWN"),
        ({"vif_type": "binding_failed"}, {}, "the binding failed"),
        ({}, {"ofport": -1, "error": "no such device"}, "no such device"),
        ({}, {"mac_address": "fa:16:3e:ff:ff:ff"}, "the NIC's MAC is fa:16:3e:ff:ff:ff"),
        ({}, {"addresses": ()}, "the NIC lacks 10.0.1.5"),
        ({}, {"addresses": ("10.0.1.5/24", "10.9.9.9/8")}, "the NIC also has 10.9.9.9"),
    ],
)
def test_a_difference_is_told(port: dict[str, Any], plugged: dict[str, Any], words: str) -> None:
    changed = replace(PORT, **port)
    (row,) = join([changed], {"compute-1": [replace(PLUGGED, **plugged)]})
    assert row.differs == words


def test_a_port_that_is_plugged_nowhere_is_told() -> None:
    unbound = replace(PORT, id="b", host="", device_owner="")
    shelved = replace(PORT, id="c", host="")
    rows = join([PORT, unbound, shelved], {"compute-1": []})
    assert [row.differs for row in rows] == [
        "not plugged on compute-1",
        "not bound",
        f"on no host (fakevm unshelve {PORT.device_id})",
    ]


def test_nothing_is_claimed_of_a_host_that_does_not_answer() -> None:
    (row,) = join([PORT], {}, silent_hosts=["compute-1"])
    assert row.differs == "compute-1 does not answer"


def test_a_vif_without_a_port_is_told() -> None:
    (row,) = join([], {"compute-1": [PLUGGED]})
    assert (row.port_id, row.host, row.plugged_host) == (PORT.id, "", "compute-1")
    assert "cleanup" in row.differs


def test_an_address_that_the_vm_was_not_to_have_is_not_missed() -> None:
    (ip,) = addresses.fixed_ips(PORT, make_network(), "none")
    quiet = replace(PLUGGED, addresses=(), fixed_ips=(ip,))
    (row,) = join([PORT], {"compute-1": [quiet]})
    assert row.differs == ""


def test_a_failed_binding_is_explained_by_the_agent_list() -> None:
    agent = NeutronAgent(
        id="1",
        binary="neutron-openvswitch-agent",
        host="compute-1",
        alive=False,
        admin_state_up=True,
    )
    assert "its neutron-openvswitch-agent is down" in str(vifs.binding_failed(PORT, [agent]))
    assert "no L2 agent of compute-1 is known" in str(vifs.binding_failed(PORT, []))


def test_a_host_s_l2_agents_are_the_backend_s_on_it() -> None:
    def make(host: str, binary: str) -> NeutronAgent:
        return NeutronAgent(id="1", binary=binary, host=host, alive=True, admin_state_up=True)

    here = make("compute-1", "neutron-openvswitch-agent")
    others = [make("compute-2", here.binary), make("compute-1", "neutron-dhcp-agent")]
    assert OVS.l2_agents("compute-1", [*others, here]) == [here]
    down = replace(here, alive=False, datapath="netdev")
    assert OVS.host_state("compute-1", [*others, down], "") == HostState(
        l2_agent="down", datapath="netdev"
    )
    assert OVS.host_state("compute-1", others, "") == HostState()
    brought = make("compute-1", "lane-agent")
    assert OVS.l2_agents("compute-1", [*others, here, brought], "lane-agent") == [brought]
    assert OVS.host_state("compute-1", [here, brought], "", "lane-agent") == HostState(
        l2_agent="alive"
    )


SOUTHBOUND = (
    '{"data":[[7]],"headings":["nb_cfg"]}\n'
    '{"data":[["network-1",7],["compute-1",5]],"headings":["name","nb_cfg"]}\n'
)


def test_what_ovn_says_of_its_hosts() -> None:
    def make(host: str, binary: str) -> NeutronAgent:
        return NeutronAgent(id="1", binary=binary, host=host, alive=True, admin_state_up=True)

    agents = [
        replace(make("network-1", "ovn-controller"), is_gateway=True),
        make("compute-1", "ovn-controller"),
        replace(make("compute-1", "neutron-ovn-metadata-agent"), alive=False),
    ]
    assert OVN.host_state("network-1", agents, SOUTHBOUND) == HostState(
        l2_agent="alive",
        details={"chassis": "network-1", "nb_cfg": "7", "metadata_agent": "", "gateway": "yes"},
    )
    assert OVN.host_state("compute-1", agents, SOUTHBOUND).details == {
        "chassis": "compute-1",
        "nb_cfg": "5, 2 behind",
        "metadata_agent": "down",
        "gateway": "",
    }
    assert OVN.host_state("compute-2", agents, SOUTHBOUND).details["chassis"] == "missing"
    # Where nobody answers, nothing is known.
    silent = OVN.host_state("compute-1", [], "")
    assert silent == HostState(details=dict.fromkeys(silent.details, ""))


@pytest.mark.parametrize("vnic_type", ["direct", "macvtap"])
def test_a_failed_binding_is_explained_by_the_vnic_type(vnic_type: str) -> None:
    told = vifs.binding_failed(replace(PORT, vnic_type=vnic_type), [])
    assert f"vnic_type is {vnic_type}" in str(told)
    assert "normal" in told.hint
