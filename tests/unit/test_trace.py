"""Where a packet goes: what is asked of those who know, and what their answers mean."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from fakevm.backends import datapath, openflow, ovn_pipeline
from fakevm.backends.openflow import Output, Tunnel
from fakevm.backends.ovs_pipeline import PIPELINE
from fakevm.backends.packet import Packet
from fakevm.backends.pipeline import Passage, Pipeline, Sense
from fakevm.errors import ConfigError
from fakevm.model import PluggedVif
from fakevm.neutron.values import Port, PortIp
from fakevm.reach.rules import words
from fakevm.reach.topology import Nic, RouterPort, Rule, Topology
from fakevm.trace import ends, links, live, switch
from fakevm.trace.account import Account
from fakevm.trace.ends import End
from fakevm.trace.hosts import Hosts
from fakevm.trace.links import Aim
from fakevm.trace.values import Ended, Hop, Told
from fakevm.trace.words import filter_of

ECHO = Packet(
    protocol="icmp",
    port=None,
    source="10.0.0.5",
    target="10.0.0.6",
    source_mac="fa:16:3e:00:00:05",
    target_mac="fa:16:3e:00:00:06",
)
HTTP = replace(ECHO, protocol="tcp", port=80)
ECHO6 = replace(ECHO, source="2001:db8::5", target="2001:db8::6")


@pytest.mark.parametrize(
    ("packet", "flow"),
    [
        (
            ECHO,
            "icmp,dl_src=fa:16:3e:00:00:05,dl_dst=fa:16:3e:00:00:06,nw_src=10.0.0.5,nw_dst=10.0.0.6,"
            "nw_ttl=64,icmp_type=8,icmp_code=0",
        ),
        (
            HTTP,
            "tcp,dl_src=fa:16:3e:00:00:05,dl_dst=fa:16:3e:00:00:06,nw_src=10.0.0.5,nw_dst=10.0.0.6,"
            "nw_ttl=64,tp_src=40000,tp_dst=80,tcp_flags=2",
        ),
        (
            ECHO6,
            "icmp6,dl_src=fa:16:3e:00:00:05,dl_dst=fa:16:3e:00:00:06,ipv6_src=2001:db8::5,"
            "ipv6_dst=2001:db8::6,nw_ttl=64,icmpv6_type=128,icmpv6_code=0",
        ),
    ],
)
def test_a_packet_is_said_as_open_vswitch_has_it(packet: Packet, flow: str) -> None:
    assert packet.flow == flow


def test_before_a_packet_its_next_hop_is_asked_for() -> None:
    assert "arp_tpa=10.0.0.1,arp_sha=fa:16:3e:00:00:05" in ECHO.question("10.0.0.1")
    asked = ECHO6.question("2001:db8::1:2:3")
    assert "dl_dst=33:33:ff:02:00:03,ipv6_src=2001:db8::5,ipv6_dst=ff02::1:ff02:3" in asked
    assert "nd_target=2001:db8::1:2:3,nd_sll=fa:16:3e:00:00:05" in asked


TEXTS = Path(__file__).parent / "texts"


def text(name: str) -> str:
    """Return what a lab's Open vSwitch said once."""
    return (TEXTS / f"{name}.txt").read_text(encoding="utf-8")


def told(name: str) -> list[str]:
    """Return a passage through a host of ML2/OVS, in words; who has rules, by the direction."""
    passage = PIPELINE.passage(openflow.traced(text(name)))
    senses = [*passage.senses, *([passage.end] if passage.end else [])]
    return [f"{sense.where}: {sense.words or sense.rules}" for sense in senses]


def test_a_packet_to_another_host_leaves_by_its_tunnel() -> None:
    traced = openflow.traced(text("ovs-out"))
    tunnel = Tunnel(local="198.18.218.3", remote="198.18.218.4", key=1564)
    assert traced.outputs == (Output(port=1, tunnel=tunnel),)
    assert [(step.bridge, step.table) for step in traced.steps][-3:] == [
        ("br-tun", 2),
        ("br-tun", 20),
        ("br-phy", 0),
    ]
    assert told("ovs-out") == [
        "br-int, table 72: egress",
        "br-int, table 94: to the port that its MAC was learned at",
        "br-tun, table 20: its MAC has an entry of l2population",
    ]


def test_while_the_other_end_s_mac_is_asked_for_the_tunnel_is_known() -> None:
    said = (
        text("ovs-out")
        .replace(
            "-> tunneling from 02:42:c6:12:da:03 198.18.218.3 to 02:42:c6:12:da:04 198.18.218.4",
            "-> neighbor cache miss for 198.18.218.4 on bridge br-phy, sending ARP request",
        )
        .partition('bridge("br-phy")')[0]
    )
    asked = openflow.traced(f"{said}Datapath actions: ct(commit,zone=1)")
    assert asked.outputs == (
        Output(port=None, tunnel=Tunnel(local="", remote="198.18.218.4", key=1564)),
    )


def test_a_question_goes_into_every_tunnel_and_out_of_other_ports() -> None:
    traced = openflow.traced(text("ovs-question"))
    assert [one.tunnel.remote for one in traced.outputs if one.tunnel] == [
        "198.18.218.2",
        "198.18.218.4",
    ]
    assert [(one.port, one.vlan) for one in traced.outputs if not one.tunnel] == [(6, 1), (9, None)]


def test_what_comes_out_of_a_tunnel_meets_its_security_groups() -> None:
    assert told("ovs-in") == [
        "br-tun, table 4: the VNI 1564 is the local VLAN 1",
        "br-int, table 82: ingress",
    ]
    assert [one.port for one in openflow.traced(text("ovs-in")).outputs] == [9]


def test_what_no_rule_lets_in_ends_where_rules_are() -> None:
    passage = PIPELINE.passage(openflow.traced(text("ovs-dropped")))
    assert [one.rules for one in passage.senses] == [None]
    assert passage.end
    # Open vSwitch prints another bridge where it goes on.
    assert (passage.end.where, passage.end.rules) == ("br-int, table 82", "ingress")


def test_on_one_host_both_ends_filter() -> None:
    assert told("ovs-same-host") == ["br-int, table 72: egress", "br-int, table 82: ingress"]


@pytest.mark.parametrize(
    ("actions", "outputs"),
    [
        ("drop", []),
        ("push_vlan(vid=101,pcp=0),3", [Output(port=3, vlan=101)]),
        ("push_vlan(vid=1,pcp=0),6,pop_vlan,9", [Output(port=6, vlan=1), Output(port=9)]),
        (
            "set(tunnel(tun_id=0x3e9,src=10.0.0.1,dst=10.0.0.2,ttl=64,tp_dst=4789,flags(df|key))),2",
            [Output(port=2, tunnel=Tunnel(local="10.0.0.1", remote="10.0.0.2", key=1001))],
        ),
        (
            "set(tunnel(tun_id=0x2,dst=10.0.0.2,ttl=64,tp_dst=6081,geneve({class=0x102,type=0x80,"
            "len=4,0x10003}),flags(df|csum|key))),2",
            [Output(port=2, tunnel=Tunnel(local="", remote="10.0.0.2", key=2, option="0x10003"))],
        ),
    ],
)
def test_where_a_packet_goes_is_what_the_datapath_is_told(
    actions: str, outputs: list[Output]
) -> None:
    assert list(openflow.traced(f"Datapath actions: {actions}").outputs) == outputs


def test_the_kernel_s_tunnel_is_of_the_output_that_follows_it() -> None:
    actions = "set(tunnel(tun_id=0x1,dst=10.0.0.{})),pop_vlan,8"
    flooded = (
        f"push_vlan(vid=1,pcp=0),6,{actions.format(2)},{actions.format(3)},7,push_vlan(vid=1),6"
    )
    tunnels = [Tunnel(local="", remote=f"10.0.0.{end}", key=1) for end in (2, 3)]
    assert openflow.traced(f"Datapath actions: {flooded}").outputs == (
        Output(port=6, vlan=1),
        *(Output(port=8, tunnel=tunnel) for tunnel in tunnels),
        Output(port=7),
        Output(port=6, vlan=1),
    )


@pytest.mark.parametrize(
    ("step", "where", "words"),
    [
        ("71. reg5=0x3,in_port=3, priority 10, cookie 0x1", "br-int, table 71", "port security"),
        (
            " 0. ip,nw_dst=10.0.0.2, priority 65535, cookie 0xfa",
            "br-int, table 0",
            "its link is cut",
        ),
        ("23. No match.", "br-int, table 23", "dropped by no flow that matches"),
        ("60. ip, priority 7", "br-int, table 60", "dropped by priority 7, ip"),
    ],
)
def test_a_flow_that_drops_is_named(step: str, where: str, words: str) -> None:
    said = f'bridge("br-int")\n----\n{step}\n    drop\nDatapath actions: drop'
    end = PIPELINE.passage(openflow.traced(said)).end
    assert end
    assert end.where == where
    assert end.words.startswith(words)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (
            "20. dl_vlan=1, priority 1",
            "its MAC has an entry that was learned, whose tunnel is gone",
        ),
        ("22. priority 0", "its network has no tunnel to any host"),
        (" 4. priority 0", "no port of its network is wired on this host"),
    ],
)
def test_a_tunnel_bridge_that_drops_says_what_it_lacks(step: str, words: str) -> None:
    said = f'bridge("br-tun")\n----\n{step}\n    drop\nDatapath actions: drop'
    end = PIPELINE.passage(openflow.traced(said)).end
    assert end
    assert end.words == words


def test_interfaces_have_their_bridges_and_numbers() -> None:
    found = {one.name: one for one in datapath.interfaces(text("ovs-show"))}
    tap, tunnel = found["tap2e77b4ca-50"], found["vxlan-c612da04"]
    assert (tap.bridge, tap.ofport, tap.number, tap.type) == ("br-int", 3, 7, "system")
    assert (tunnel.bridge, tunnel.type, tunnel.remote) == ("br-tun", "vxlan", "198.18.218.4")
    assert found["patch-tun"].number is None


def listed(*rows: str) -> str:
    """Return interfaces as ovs-vsctl(8) lists them: name, type, and whose port each is."""
    words = [row.split() for row in rows]
    data = [[name, kind, ["map", [["iface-id", p] for p in port]]] for name, kind, *port in words]
    return json.dumps({"data": data})


def shown(*rows: str) -> switch.Switch:
    """Return a switch with these interfaces."""
    return switch.switch(
        "compute-1",
        "lab-compute-1-1",
        shown=text("ovs-show"),
        listed=listed(*rows),
        underlay="eth2 02:42:c6:12:da:03 198.18.218.3/23\n",
        provider="eth1 02:42:c6:12:dc:03 198.18.220.3/23\n",
        outages="cut underlay compute-2\nstop l2-agent",
    )


SHOWN = shown("tap2e77b4ca-50 system a", "br-phy internal")


def test_a_switch_knows_its_ports_tunnels_and_nics() -> None:
    tap = SHOWN.of_port("a")
    assert tap
    assert tap.name == "tap2e77b4ca-50"
    assert SHOWN.left_by(Output(port=7)) == tap
    # Tunnels share a number.
    assert SHOWN.left_by(Output(port=8)) is None
    nic = SHOWN.nic_of("br-provider")
    assert nic
    assert nic.name == "eth1"
    assert SHOWN.nic_of("br-int") is None
    assert SHOWN.underlay == "198.18.218.3"
    assert SHOWN.provider == "198.18.220.0/23"
    assert SHOWN.is_cut("underlay", "compute-2") == "cut underlay compute-2"
    assert SHOWN.is_cut("underlay", "compute-3") == ""


def test_a_trunk_s_parent_port_has_its_vm_s_device() -> None:
    patches = ("tpi-2e77b4ca-50 patch a", "tpt-2e77b4ca-50 patch a")
    tap = "tap2e77b4ca-50 system a"
    for rows in permutations((tap, *patches)):
        assert shown(*rows).devices == {"a": "tap2e77b4ca-50"}


@pytest.mark.parametrize(
    ("source", "target"),
    [("20.0.0.5", "20.0.0.6"), ("198.18.221.5", "20.0.0.6"), ("20.0.0.5", "198.18.221.6")],
)
def test_what_is_untagged_and_not_the_engine_s_own_is_lost(source: str, target: str) -> None:
    packet = replace(ECHO, source=source, target=target)
    with pytest.raises(Ended, match=r"lost between .* Docker drops .* not of 198\.18\.220\.0/23"):
        links.check_isolation(SHOWN, SHOWN, packet)


@pytest.mark.parametrize(
    "packet", [replace(ECHO, source="198.18.221.5", target="198.18.221.6"), ECHO6]
)
def test_what_is_untagged_passes_where_the_engine_knows_it(packet: Packet) -> None:
    links.check_isolation(SHOWN, SHOWN, packet)


AIM = Aim(port_id="b", host="compute-2", called="db")


def test_what_a_wire_brings_to_a_router_is_taken_by_its_gateway_s_host() -> None:
    inside = replace(ROUTER_PORT, host="", mac_address="fa:16:3e:00:00:02")
    gateway = replace(ROUTER_PORT, port_id="gateway", gateway=True)
    packet = replace(ECHO, target_mac=inside.mac_address)
    assert links.taker(packet, AIM, links.gateways_of([inside, gateway])) == "network-1"
    # Behind it, and of a router without a gateway, whose flows every host has.
    assert links.taker(ECHO, AIM, links.gateways_of([inside, gateway])) == "compute-2"
    assert links.taker(packet, AIM, links.gateways_of([inside])) == "compute-2"
    nowhere = links.gateways_of([inside, replace(gateway, host="")])
    with pytest.raises(Ended, match="no host has the gateway"):
        links.taker(packet, AIM, nowhere)


class Asked(Hosts):
    """Hosts that have been asked what they have."""

    def __init__(self, *switches: switch.Switch) -> None:
        self._found = {one.host: one for one in switches}


def test_what_is_flooded_in_a_host_leaves_it_as_its_router_sends_it() -> None:
    here = replace(SHOWN, host="network-1")
    nic = here.named("eth1")
    assert nic
    inside = replace(ROUTER_PORT, host="", mac_address="fa:16:3e:00:00:02")
    gateway = replace(ROUTER_PORT, port_id="gateway", gateway=True)
    # A provider bridge that has not learned the router's address.
    traced = openflow.traced(
        "Datapath actions: 99,set(eth(src=0e:1b:ad:12:18:68,dst=fa:16:3e:00:00:06)),"
        f"set(ipv4(ttl=63)),pop_vlan,push_vlan(vid=177,pcp=0),{nic.number}"
    )
    place, packet = links.beyond(
        here,
        traced,
        AIM,
        replace(ECHO, target_mac=inside.mac_address),
        links.gateways_of([inside, gateway]),
        hosts=Asked(replace(SHOWN, host="compute-2", outages=())),
        account=Account(TOPOLOGY, NIC, PEER),
    )
    assert (place.host, place.through) == ("compute-2", "in_port=eth1,dl_vlan=177")
    assert (packet.target_mac, packet.ttl) == (ECHO.target_mac, 63)


def test_flows_are_counted_by_what_the_trace_calls_them() -> None:
    said = (
        " cookie=0x1, duration=9.1s, table=72, n_packets=3, n_bytes=294, priority=74,"
        "ct_state=+new-est,ip,reg5=0x3 actions=resubmit(,73)\n"
        " cookie=0x1, duration=9.1s, table=94, n_packets=4, n_bytes=9, priority=1 actions=NORMAL\n"
    )
    found = datapath.counters("br-int", said)
    steps = [s for s in openflow.traced(text("ovs-out")).steps if s.table in (72, 94)]
    assert [found[openflow.key(step)] for step in steps] == [3, 4]


PORT = Port(
    id="a",
    device_id="vm-a",
    host="compute-1",
    status="ACTIVE",
    vif_type="ovs",
    fixed_ips=(PortIp(ip_address="10.0.0.5", subnet_id="s"),),
)
OTHER = replace(
    PORT,
    id="b",
    device_id="vm-b",
    host="compute-2",
    fixed_ips=(PortIp(ip_address="10.0.0.6", subnet_id="s"),),
)
SIX = PortIp(ip_address="2001:db8::6", subnet_id="s6")
NIC = Nic(
    port_id="a",
    instance_id="vm-a",
    host="compute-1",
    network_id="n",
    addresses={"10.0.0.5": "s"},
    groups=frozenset({"g", "h"}),
)
PEER = replace(NIC, port_id="b", addresses={"10.0.0.6": "s"})
VIF = PluggedVif(
    port_id="a",
    instance_id="vm-a",
    vm_name="web",
    netns="vm-a",
    nic="eth0",
    device="tapa",
    mac_address="fa:16:3e:00:00:05",
    mtu=1450,
    ofport=3,
    addresses=("10.0.0.5/24",),
)
END = End(ref="a", port=PORT, nic=NIC, vif=VIF)


def test_a_packet_goes_to_an_address_of_a_version_that_both_have() -> None:
    assert ends.address_of(PORT, OTHER) == "10.0.0.6"
    both = replace(OTHER, fixed_ips=(SIX, *OTHER.fixed_ips))
    assert ends.address_of(PORT, both) == "10.0.0.6"
    assert ends.address_of(replace(PORT, fixed_ips=(SIX,)), both) == SIX.ip_address


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (PORT, "both ends are port a"),
        (replace(OTHER, device_id="vm-a"), "are of one VM"),
        (replace(OTHER, fixed_ips=(SIX,)), "no addresses of the same version"),
        (replace(OTHER, fixed_ips=()), "port b has no address"),
    ],
)
def test_what_no_packet_can_be_sent_between_is_refused(target: Port, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ends.address_of(PORT, target)


@pytest.mark.parametrize(
    ("end", "verdict"),
    [
        (replace(END, vif=None), "not sent: a is not plugged on compute-1"),
        (replace(END, vif=replace(VIF, paused=True)), "not sent: VM web is paused"),
        (
            replace(END, vif=replace(VIF, error="no such device")),
            "web on compute-1: no such device",
        ),
    ],
)
def test_a_vm_that_cannot_send_is_why(end: End, verdict: str) -> None:
    with pytest.raises(Ended, match=verdict):
        ends.check_sends(end)


@pytest.mark.parametrize(
    ("port", "verdict"),
    [
        (replace(PORT, host=""), "not sent: a is on no host"),
        (replace(PORT, vif_type="binding_failed"), "binding of a to compute-1"),
    ],
)
def test_a_port_that_is_not_bound_is_why(port: Port, verdict: str) -> None:
    with pytest.raises(Ended, match=verdict):
        ends.check_bound(replace(END, port=port))


def test_a_vm_that_is_there_sends_and_gets() -> None:
    ends.check_bound(END)
    ends.check_sends(END)
    ends.check_arrives(END)
    ends.check_gets(END, "10.0.0.5")
    assert ends.state_of(END) == ""


def test_a_nic_without_the_address_gets_nothing() -> None:
    with pytest.raises(Ended, match=r"the NIC of web lacks 10.0.0.9; it has 10.0.0.5/24"):
        ends.check_gets(END, "10.0.0.9")
    with pytest.raises(Ended, match="VM web is paused"):
        ends.check_gets(replace(END, vif=replace(VIF, paused=True)), "10.0.0.5")


def test_what_neutron_says_of_a_port_is_added_to_the_verdict() -> None:
    assert ends.state_of(replace(END, port=replace(PORT, status="DOWN"))).endswith("web DOWN")
    assert "administratively" in ends.state_of(replace(END, nic=replace(NIC, up=False)))


def test_a_route_is_read_as_the_kernel_tells_it() -> None:
    near = '[{"dst":"10.0.0.6","dev":"eth0","prefsrc":"10.0.0.5","flags":[],"uid":0,"cache":[]}]'
    found = ends.route(near)
    assert found
    assert (found.device, found.gateway, found.source) == ("eth0", "", "10.0.0.5")
    far = ends.route('[{"dst":"10.1.0.6","gateway":"10.0.0.1","dev":"eth0","prefsrc":"10.0.0.5"}]')
    assert far
    assert far.gateway == "10.0.0.1"
    assert ends.route('[{"type":"unreachable","dst":"2001:db8::9","dev":"lo"}]') is None
    assert ends.route("") is None


ROUTER_PORT = RouterPort(
    port_id="68681b18-dd00-4000-8000-000000000000",
    router_id="r",
    host="network-1",
    network_id="n",
    mac_address="fa:16:3e:00:00:01",
    addresses=frozenset({"10.0.0.1"}),
)


def test_a_router_s_port_is_found_by_its_address_and_its_device() -> None:
    topology = Topology(nics=(), router_ports=(ROUTER_PORT,))
    assert ends.router_port_at(topology, "n", "10.0.0.1") == ROUTER_PORT
    assert ends.router_port_at(topology, "other", "10.0.0.1") is None
    assert ends.router_port_of([ROUTER_PORT], "qr-68681b18-dd") == ROUTER_PORT
    assert ends.router_port_of([ROUTER_PORT], "lo") is None


def test_a_router_s_port_is_found_by_its_link_local_address() -> None:
    topology = Topology(nics=(), router_ports=(ROUTER_PORT,))
    assert ends.router_port_at(topology, "n", "fe80::f816:3eff:fe00:1") == ROUTER_PORT
    assert ends.router_port_at(topology, "n", "fe80::f816:3eff:fe00:2") is None
    assert ends.router_port_at(topology, "other", "fe80::f816:3eff:fe00:1") is None


OUT = Rule(id="out", group_id="g", direction="egress", ethertype="IPv4")
IN = Rule(id="in", group_id="h", direction="ingress", ethertype="IPv4", protocol="tcp", port_min=80)
TOPOLOGY = Topology(nics=(NIC, PEER), rules=(OUT, IN), groups={"g": "default", "h": "web"})


def test_the_rule_that_lets_a_packet_pass_is_named() -> None:
    out = filter_of(TOPOLOGY, "egress", NIC, PEER, HTTP)
    assert (out.called, out.why) == ("security group default", "rule out, IPv4")
    into = filter_of(TOPOLOGY, "ingress", PEER, NIC, HTTP)
    assert (into.called, into.why) == ("security group web", "rule in, IPv4 tcp/80")


def test_where_no_rule_does_all_groups_are_named() -> None:
    none = filter_of(TOPOLOGY, "ingress", PEER, NIC, replace(HTTP, port=81))
    assert none.rule is None
    assert none.called == "security groups default, web"
    assert none.why == "no ingress rule for tcp/81 from 10.0.0.5"
    bare = filter_of(TOPOLOGY, "egress", replace(NIC, groups=frozenset()), PEER, ECHO)
    assert bare.called == "port security, without a security group"
    assert bare.why == "no egress rule for icmp to 10.0.0.6"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (replace(IN, port_max=80), "IPv4 tcp/80"),
        (replace(IN, port_max=90, remote_prefix="10.0.0.0/24"), "IPv4 tcp/80-90 from 10.0.0.0/24"),
        (replace(OUT, remote_group="h"), "IPv4 to security group web"),
        (replace(OUT, remote_address_group="x"), "IPv4 to address group x"),
    ],
)
def test_a_rule_is_said_in_words(rule: Rule, expected: str) -> None:
    assert words(TOPOLOGY, rule) == expected


@pytest.mark.parametrize(
    ("rule", "port", "allowed"),
    [
        (IN, 80, True),
        (IN, 81, False),
        (replace(IN, port_max=90), 81, True),
        (replace(IN, port_min=None), 81, True),
        (replace(IN, protocol="6"), 80, True),
        (replace(IN, protocol="udp"), 80, False),
    ],
)
def test_a_rule_with_ports_is_about_these(rule: Rule, port: int, allowed: bool) -> None:
    topology = replace(TOPOLOGY, rules=(rule,))
    found = filter_of(topology, "ingress", PEER, NIC, replace(HTTP, port=port))
    assert (found.rule is not None) is allowed


def test_a_hop_has_the_packets_of_its_last_flow() -> None:
    first: openflow.Key = ("br-int", 60, 90, "x")
    last: openflow.Key = ("br-int", 72, 74, "y")
    hop = Told(hop=Hop(host="compute-1", where="br-int", what=""), flows=(first, last))
    before = {"compute-1": {first: 1, last: 1}}
    assert live.with_count(hop, before, {"compute-1": {first: 9, last: 4}}).hop.packets == 3
    # It came meanwhile.
    assert live.with_count(hop, {}, {"compute-1": {last: 4}}).hop.packets == 4
    assert live.with_count(hop, before, {}).hop.packets is None


def test_packets_are_sent_by_what_a_vm_has() -> None:
    assert live.command(ECHO)[0] == "ping"
    assert live.command(HTTP)[-4:] == ["tcp", "4", "10.0.0.6", "80"]
    said = "64 bytes from 10.0.0.6: icmp_seq=1 ttl=64 time=1 ms\n64 bytes from 10.0.0.6: icmp_seq=2"
    assert (live.answers(ECHO, said), live.answers(HTTP, "3\n")) == (2, 3)


def test_a_flow_after_a_bridge_within_is_of_the_bridge_around() -> None:
    steps = openflow.traced(text("ovn-cut")).steps
    assert [(step.bridge, step.table) for step in steps[-3:]] == [
        ("br-int", 42),
        ("br-phy", 0),
        ("br-int", 43),
    ]
    assert steps[-3].actions[-1] == "resubmit(,43)"


@pytest.mark.parametrize("pipeline", [PIPELINE, ovn_pipeline.PIPELINE])
def test_a_link_that_is_cut_ends_the_way_wherever_the_flows_go_on(pipeline: Pipeline) -> None:
    end = pipeline.passage(openflow.traced(text("ovn-cut"))).end
    assert end
    assert (end.where, end.words) == ("br-phy, table 0", "its link is cut, by `fakevm cut`")


def test_what_a_router_s_flows_have_changed_is_known_of_the_output() -> None:
    (output,) = openflow.traced(text("ovn-routed-out")).outputs
    assert (output.source_mac, output.target_mac, output.ttl) == (
        "fa:16:3e:fb:a7:ef",
        "fa:16:3e:19:53:de",
        63,
    )
    assert output.tunnel == Tunnel(
        local="198.19.74.4", remote="198.19.74.3", key=2, option="0x20003"
    )


def test_a_packet_is_said_as_ovn_has_it() -> None:
    assert ovn_pipeline.microflow(HTTP, "a") == (
        'inport == "a" && eth.src == fa:16:3e:00:00:05 && eth.dst == fa:16:3e:00:00:06'
        " && ip4.src == 10.0.0.5 && ip4.dst == 10.0.0.6 && ip.ttl == 64"
        " && tcp.src == 40000 && tcp.dst == 80"
    )
    assert ovn_pipeline.microflow(ECHO6, "a").endswith("icmp6.type == 128 && icmp6.code == 0")


A, B, C = (
    "fd273e02-785f-4078-b313-3dc2743b4026",
    "b5f2a12c-f79c-4710-8000-a1d5055d0ca8",
    "68afe542-2cb3-4c63-ab4f-54c2aab9e8dc",
)
BY = {"d933b618-1b7b-4f61-80ce-043d0e27540f": "router r"}


def test_ovn_leads_through_a_router_and_both_ends_rules() -> None:
    told = ovn_pipeline.OVN_TRACE.passage(text("ovn-trace-routed"), source=A, target=C, routers=BY)
    assert told.end is None
    assert [(one.where, one.words or one.rules) for one in told.senses] == [
        ("ls_in_acl_eval", "egress"),
        ("router r", "its route to 10.1.0.0/24"),
        ("ls_out_acl_eval", "ingress"),
    ]


def test_ovn_s_drop_is_of_the_rules_of_who_should_get_the_packet() -> None:
    told = ovn_pipeline.OVN_TRACE.passage(text("ovn-trace-dropped"), source=A, target=B, routers={})
    assert [one.rules for one in told.senses] == ["egress"]
    assert told.end
    assert told.end.rules == "ingress"


@pytest.mark.parametrize(
    ("step", "where", "words"),
    [
        (
            " 1. ls_in_apply_port_sec (northd.c:1): reg0[15] == 1, priority 50, uuid 12",
            "OVN, ls_in_apply_port_sec",
            "port security",
        ),
        ("15. lr_in_ip_routing: no match (implicit drop)", "router r", "it has no route"),
        (
            '20. ls_in_l2_unknown (northd.c:1): outport == "none", priority 50, uuid 12ab',
            "OVN, ls_in_l2_unknown",
            'it ends there, by outport == "none", uuid 12ab',
        ),
    ],
)
def test_what_ends_a_way_in_ovn_is_named(step: str, where: str, words: str) -> None:
    said = f'ingress(dp="x", inport="lrp-{next(iter(BY))}")\n----\n{step}\n    drop;\n'
    end = ovn_pipeline.OVN_TRACE.passage(said, source=A, target=B, routers=BY).end
    assert end
    assert end.where == where
    assert end.words.startswith(words)


def test_a_port_that_ovn_does_not_have_is_why() -> None:
    end = ovn_pipeline.OVN_TRACE.passage("", source=A, target=B, routers={}).end
    assert end
    assert end.words == "it does not know the port"


def passed(passage: Passage) -> tuple[list[str], str]:
    """Return what the account tells of a passage on compute-1, and its verdict."""
    account = Account(TOPOLOGY, NIC, replace(PEER, host="compute-2"))
    try:
        account.passed("compute-1", passage, HTTP)
    except Ended as end:
        return [one.hop.what for one in account.told], str(end)
    return [one.hop.what for one in account.told], ""


EGRESS = Sense(where="br-int, table 72", words="", rules="egress")
INGRESS = Sense(where="br-int, table 82", words="", rules="ingress")


def test_rules_that_let_a_packet_pass_are_told() -> None:
    assert passed(Passage(senses=(EGRESS, INGRESS))) == (
        ["lets it out: rule out, IPv4", "lets it in: rule in, IPv4 tcp/80"],
        "",
    )


def test_flows_that_drop_what_a_rule_allows_are_the_verdict() -> None:
    _, verdict = passed(Passage(end=INGRESS))
    assert verdict == (
        "dropped on compute-2 by br-int, table 82, although security group web has a rule:"
        " rule in, IPv4 tcp/80"
    )


def test_what_passes_without_a_rule_is_told() -> None:
    account = Account(replace(TOPOLOGY, rules=()), NIC, PEER)
    account.passed("", Passage(senses=(EGRESS,)), HTTP)
    (hop,) = (one.hop for one in account.told)
    assert hop.what == "it passes, although there is no egress rule for tcp/80 to 10.0.0.6"


def test_a_drop_by_no_rule_is_named_by_where_it_is() -> None:
    assert passed(Passage(end=Sense(where="br-tun, table 22", words="no tunnel"))) == (
        ["no tunnel"],
        "dropped on compute-1 by br-tun, table 22: no tunnel",
    )


def test_rules_that_nobody_traces_are_neutron_s() -> None:
    account = Account(TOPOLOGY, NIC, replace(PEER, host="compute-2"))
    account.unseen("egress", HTTP, "iptables")
    with pytest.raises(Ended, match=r"dropped on compute-2 by security groups default, web: no in"):
        account.unseen("ingress", replace(HTTP, port=81), "iptables")
    assert "as Neutron has it, not as iptables has" in account.told[0].hop.what


def test_groups_that_no_flow_asks_are_told() -> None:
    account = Account(TOPOLOGY, NIC, replace(PEER, host="compute-2"))
    account.unfiltered()
    assert [one.hop.host for one in account.told] == ["compute-1", "compute-2"]
    assert account.told[0].hop.what.startswith("not applied")
    free = Account(TOPOLOGY, replace(NIC, port_security=False), replace(PEER, port_security=False))
    free.unfiltered()
    assert free.told == []
