"""The library: networks, routers, security groups and VMs as objects."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fakevm
from fakevm.errors import (
    ConfigError,
    ConflictError,
    FakevmError,
    NotFoundError,
    WaitTimeoutError,
)
from fakevm.labfile import model
from fakevm.library import reach
from fakevm.library.behind import begin, words
from fakevm.library.lab import Lab
from fakevm.library.reach import End, UnreachedError
from fakevm.neutron.values import Port, PortIp
from tests.fakes.cloud import FakeCloud
from tests.fakes.host import Program
from tests.unit.conftest import World

STATIC: words.SubnetWords = {"cidr": "10.1.0.0/24", "enable_dhcp": False}


@pytest.fixture
def lab(world: World, cloud: FakeCloud) -> Iterator[Lab]:
    with Lab(
        engine=world.engine,
        neutron=cloud,
        open_stream=world.stream,
        agent_s=5,
        say=world.said.append,
    ) as lab:
        yield lab


# What is made


def test_objects_are_made_as_a_lab_file_makes_them(lab: Lab, cloud: FakeCloud) -> None:
    net = lab.network("blue", subnets=[STATIC])
    other = lab.network("red", subnets=["10.2.0.0/24"], mtu=1400)
    group = lab.security_group("web", rules=["ingress tcp 80", "ingress icmp from web"])
    router = lab.router("edge", interfaces=[net, "red-v4"])
    vm = lab.vm("web", on="compute-2", networks=[net], security_groups=[group])

    saved = lab.save().values
    assert saved["networks"]["red"] == {"mtu": 1400, "subnets": ["10.2.0.0/24"]}
    assert saved["routers"] == {"edge": {"interfaces": ["blue", "red"]}}
    assert saved["security_groups"]["web"]["rules"] == ["ingress icmp from web", "ingress tcp 80"]
    assert saved["vms"]["web"]["host"] == "compute-2"
    assert [subnet.name for subnet in net.subnets] == ["blue-v4"]
    assert net.attributes["tags"] == ["fakevm-file"]
    assert other.mtu == 1400
    assert router.attributes["name"] == "edge"
    assert group.rules == ("egress", "egress ipv6", "ingress icmp from web", "ingress tcp 80")
    assert (vm.host, vm.port.name, vm.port.status) == ("compute-2", "web-blue", "ACTIVE")
    assert cloud.more[vm.port.id]["security_groups"] == [group.id]


def test_what_is_there_already_is_left_or_changed_to_what_is_asked_for(
    lab: Lab, cloud: FakeCloud
) -> None:
    net = lab.network("blue", subnets=[STATIC])
    vm = lab.vm("web", on="compute-1", networks=[net])
    port = vm.port.id
    before = len(cloud.writes)
    assert lab.network("blue", subnets=[STATIC]) == net
    assert lab.vm("web", networks=["blue"]) == vm
    assert len(cloud.writes) == before
    assert lab.vm("web", on="compute-3", networks=[net]).host == "compute-3"
    assert vm.port.id == port
    group = lab.security_group("none")
    assert lab.vm("web", networks=[net], security_groups=["none"]) == vm
    assert cloud.more[port]["security_groups"] == [group.id]


def test_a_vm_goes_to_the_host_with_the_fewest(lab: Lab) -> None:
    lab.network("blue", subnets=[STATIC])
    hosts = [lab.vm(name, networks=["blue"]).host for name in ("one", "two", "three", "four")]
    assert hosts == ["compute-1", "compute-2", "compute-3", "compute-1"]


def test_what_others_made_is_used_and_not_changed(lab: Lab, cloud: FakeCloud) -> None:
    cloud.write("POST", "/networks", {"network": _network("mine")})
    lab.vm("web", networks=[lab.networks["mine"]])
    with pytest.raises(ConflictError, match="network mine is there, and was not made by a file"):
        lab.network("mine", mtu=1300)
    cloud.write("POST", "/networks", {"network": _network("mine")})
    with pytest.raises(ConflictError, match="several of the name network mine"):
        lab.vm("db", networks=["mine"])


def _network(name: str) -> dict[str, Any]:
    return {"name": name, "shared": False, "router:external": False, "admin_state_up": True}


def test_networks_that_others_made_are_as_neutron_lets_them_be(lab: Lab, cloud: FakeCloud) -> None:
    made = {
        "one": ("10.1.0.0/24", {"name": "subnet"}),
        "other": ("10.2.0.0/24", {"name": "subnet"}),
        "local": ("2001:db8::/64", {"gateway_ip": "fe80::1"}),
        # Beside its subnet: Neutron can't tell whether it is right.
        "beside": ("10.3.0.0/24", {"gateway_ip": "10.9.0.1"}),
    }
    common = {"enable_dhcp": False, "dns_nameservers": [], "host_routes": []}
    for name, (cidr, more) in made.items():
        network = cloud.write("POST", "/networks", {"network": _network(name)})["network"]["id"]
        version = 6 if ":" in cidr else 4
        subnet = {"network_id": network, "cidr": cidr, "ip_version": version, **common, **more}
        cloud.write("POST", "/subnets", {"subnet": subnet})
    lab.router("edge", interfaces=["one", "other"])
    lab.router("third", interfaces=["10.2.0.0/24"])
    assert lab.save().values["routers"]["third"] == {"interfaces": ["other"]}
    with pytest.raises(ConflictError, match="several of the name subnet subnet"):
        lab.router("another", interfaces=["subnet"])
    with pytest.raises(ConfigError, match=r"interfaces\[0\]: the gateway fe80::1 is not in"):
        lab.router("another", interfaces=["local"])
    assert len(lab.vm("web", on="compute-1", networks=[*made]).ports) == 4


def test_one_object_needs_no_look_at_all_of_the_lab(lab: Lab, cloud: FakeCloud) -> None:
    net = lab.network("blue", subnets=[STATIC])
    cloud.asked.clear()
    lab.vm("web", on="compute-1", networks=[net])
    assert {path.partition("?")[0] for path in cloud.asked} <= {"/networks", "/subnets", "/ports"}
    assert not [path for path in cloud.asked if "?" not in path]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda lab: lab.network("a", subnets=["10.1.0.1/24"]),
            r"network 'a': subnets\[0\].cidr: 10.1.0.1/24 has host bits set",
        ),
        (lambda lab: lab.network("a", mut=1400), r"network 'a': mut: there is no key 'mut' here"),
        (lambda lab: lab.security_group("g", rules=["in tcp"]), r"security group 'g': rules\[0\]"),
        (lambda lab: lab.vm("v"), r"VM 'v': one of `networks` or `nics`"),
        (lambda lab: lab.qos_policy("q", dscp_mark=7), r"QoS policy 'q': dscp_mark: "),
        (lambda lab: lab.trunk("t", port="v"), r"there is no NIC or VM 'v'"),
        (lambda lab: lab.floating_ip("v", network="n"), r"there is no NIC or VM 'v'"),
        (lambda lab: lab.network("n", qos_policy="q"), r"there is no QoS policy 'q'"),
        (lambda lab: lab.router("r", interfaces=["net"]), r"there is no network or subnet 'net'"),
        (lambda lab: lab.vm("v", networks=["net"]), r"there is no network 'net'"),
        (
            lambda lab: lab.vm("v", networks=[lab.network("n")], security_groups=["g"]),
            r"there is no security group 'g'",
        ),
        (
            lambda lab: lab.vm("v", on="compute-9", networks=[lab.network("n")]),
            r"there is no compute host 'compute-9'",
        ),
    ],
)
def test_what_can_t_be_is_told_in_the_file_s_words(
    lab: Lab, cloud: FakeCloud, make: Callable[[Lab], object], told: str
) -> None:
    with pytest.raises((ConfigError, NotFoundError), match=told):
        make(lab)
    assert "create_port" not in [method for method, _ in cloud.writes]


def test_what_is_deleted_is_gone_with_its_parts(lab: Lab, cloud: FakeCloud) -> None:
    net = lab.network("blue", subnets=[STATIC])
    route: words.RouteWords = {"destination": "10.9.0.0/16", "nexthop": "10.1.0.9"}
    router = lab.router("edge", interfaces=[net], routes=[route])
    group = lab.security_group("web", rules=["ingress icmp"])
    vm = lab.vm("web", networks=[net], security_groups=[group])
    with pytest.raises(ConflictError, match=r"network .* is in use"):
        net.delete()
    for one in (vm, router, group, net):
        one.delete()
        one.delete()
    assert not cloud.ports_by_id
    assert not [*lab.networks, *lab.routers, *lab.vms]
    assert [one.name for one in lab.security_groups] == ["default"]


def test_a_nic_s_limits_networks_in_vlans_and_address_outside(lab: Lab, cloud: FakeCloud) -> None:
    near = lab.network("near", subnets=[STATIC])
    outside = lab.network("outside", external=True, subnets=["172.24.0.0/24"])
    limit: words.BandwidthLimitsWords = {"egress": {"max_kbps": 1000}}
    slow = lab.qos_policy("slow", bandwidth_limit=limit)
    web = lab.vm("web", on="compute-1", networks=[near, outside], qos_policy=slow)
    first, second = web.ports
    assert cloud.more[first.id]["qos_policy_id"] == slow.id
    assert lab.qos_policy("slow", dscp_mark=26) == slow
    assert [rule["type"] for rule in slow.attributes["rules"]] == ["dscp_marking"]

    sub: words.SubportWords = {"network": near, "segmentation_id": 100, "qos_policy": "slow"}
    trunk = lab.trunk("web", port=second, sub_ports=[sub])
    assert trunk.port.id == second.id
    assert trunk.port.host == "compute-1"
    assert {tag: port.name for tag, port in trunk.sub_ports.items()} == {100: "web-100"}
    before = len(cloud.writes)
    assert lab.trunk("web", port="web-outside", sub_ports=[sub]) == trunk
    assert len(cloud.writes) == before
    with pytest.raises(ConflictError, match="VM web has several ports: web-near, web-outside"):
        lab.trunk("web", port=web)

    address = lab.floating_ip(first, network=outside)
    assert address.port.id == first.id
    assert lab.floating_ip("web-near", network="outside") == address
    assert len(cloud.writes) == before + 2
    assert [*lab.floating_ips] == [lab.floating_ips[address.address]] == [address]
    assert [*lab.qos_policies] == [lab.qos_policies["slow"]] == [slow]
    assert [*lab.trunks] == [lab.trunks["web"]] == [trunk]

    address.delete()
    with pytest.raises(ConflictError, match=r"QoS policy .* is in use"):
        slow.delete()
    # Its parent stays its VM's, or goes with it, if the VM is gone.
    lab.trunk("web", port=second).delete()
    assert web.ports[1].host == "compute-1"
    assert len(cloud.ports_by_id) == 2
    trunk = lab.trunk("web", port=second, sub_ports=[sub])
    web.delete()
    assert {port.name for port in cloud.ports_by_id.values()} == {"web-outside", "web-100"}
    for one in (trunk, slow, near, outside, trunk, address, slow):
        one.delete()
    assert not cloud.ports_by_id


def test_who_asks_by_a_floating_ip_is_told_so(world: World, lab: Lab) -> None:
    near = lab.network("near", subnets=[STATIC])
    outside = lab.network("outside", external=True, subnets=["172.24.0.0/24"])
    web = lab.vm("web", on="compute-2", networks=[near])
    client = lab.vm("client", on="compute-1", networks=[outside])
    address = lab.floating_ip(web, network=outside)
    assert address.end.name == "web"
    world.agents["compute-2"].programs["python3"] = listens
    world.agents["compute-1"].programs["python3"] = says("9 0 9 timed out\n")
    with pytest.raises(UnreachedError) as caught:
        client.assert_reaches(address, port=80)
    assert (caught.value.target, caught.value.address) == ("web", address.address)
    assert caught.value.hint == f"fakevm openstack floating ip show {address.address}"


def test_what_is_there_is_found_by_its_name(lab: Lab) -> None:
    net = lab.network("blue", subnets=[STATIC])
    vm = lab.vm("web", networks=[net])
    assert lab.networks["blue"] == net
    assert lab.vms["web"] == vm
    assert [*lab.vms] == [vm]
    assert "db" not in lab.vms
    with pytest.raises(NotFoundError, match="there is no router 'edge'"):
        _ = lab.routers["edge"]


# What is done in VMs


@pytest.fixture
def pair(lab: Lab) -> tuple[fakevm.Vm, fakevm.Vm]:
    net = lab.network("blue", subnets=[STATIC])
    return lab.vm("client", on="compute-1", networks=[net]), lab.vm(
        "web", on="compute-2", networks=[net]
    )


def test_a_command_s_end_is_told(pair: tuple[fakevm.Vm, fakevm.Vm]) -> None:
    client, _ = pair
    assert client.exec("echo", "hello").stdout == "hello\n"
    assert client.exec("cat", stdin="words").stdout == "words"
    done = client.exec("complain", "no", "3")
    assert (done.exit_code, done.stderr) == (3, "no")
    with pytest.raises(
        FakevmError, match=r"VM client on compute-1: `complain no 3` ended with 3: no"
    ):
        client.exec("complain", "no", "3", check=True)


def says(text: str, code: int = 0) -> Program:
    def program(
        _stdin: bytearray, say: Callable[[str, bytes], None], _ended: threading.Event
    ) -> int:
        say("stdout", text.encode())
        return code

    return program


def listens(_stdin: bytearray, say: Callable[[str, bytes], None], ended: threading.Event) -> int:
    say("stdout", b"listening\n")
    assert ended.wait(10)
    return 143


def test_reaching_is_asserted(world: World, pair: tuple[fakevm.Vm, fakevm.Vm]) -> None:
    client, web = pair
    programs = world.agents["compute-1"].programs
    world.agents["compute-2"].programs["python3"] = listens
    programs["python3"] = says("3 1 0 \n")
    client.assert_reaches(web, port=80)
    client.assert_reaches(web)
    with pytest.raises(UnreachedError, match=r"client on compute-1 reaches web on compute-2"):
        client.assert_cannot_reach(web, port=80)

    programs["python3"] = says("9 0 9 timed out\n")
    client.assert_cannot_reach(web, port=80)
    with pytest.raises(UnreachedError) as caught:
        client.assert_reaches(web, port=80)
    assert str(caught.value) == (
        "VM client on compute-1 does not reach web on compute-2 (10.1.0.102) port 80 by tcp:"
        " 0 of 9 were answered (the last one: timed out)"
    )
    error = caught.value
    assert (error.source, error.source_host) == ("client", "compute-1")
    assert (error.target, error.target_host, error.address) == ("web", "compute-2", "10.1.0.102")
    assert (error.protocol, error.port, error.asked, error.answered) == ("tcp", 80, 9, 0)
    assert caught.value.hint == "fakevm trace client web --proto tcp --port 80"
    assert caught.value.__notes__ == [caught.value.hint]


def test_pings_are_counted(world: World, pair: tuple[fakevm.Vm, fakevm.Vm]) -> None:
    client, web = pair
    programs = world.agents["compute-1"].programs
    programs["python3"] = says("1 1 0 \n")
    programs["ping"] = says("3 packets transmitted, 3 received, 0% packet loss\n")
    client.ping(web)
    programs["ping"] = says("3 packets transmitted, 2 received, 33% packet loss\n", 1)
    with pytest.raises(UnreachedError, match=r"2 of 3 were answered"):
        client.ping(web)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"port": 0}, "0 is no port of tcp"),
        ({"port": 80, "protocol": "icmp"}, "80 is no port of icmp"),
        ({"protocol": "udp"}, "of udp a port is needed"),
        ({"protocol": "sctp"}, "'sctp' is no protocol here"),
    ],
)
def test_what_can_t_be_asked_is_refused(
    pair: tuple[fakevm.Vm, fakevm.Vm], wanted: Any, told: str
) -> None:
    client, web = pair
    with pytest.raises(ConfigError, match=told):
        client.assert_reaches(web, **wanted)


def make_port(network: str, *addresses: str, host: str = "compute-1") -> Port:
    ips = tuple(PortIp(ip_address=one, subnet_id="s") for one in addresses)
    return Port(id=f"port-{network}", network_id=network, host=host, fixed_ips=ips)


def test_a_vm_is_reached_on_a_network_of_both_and_by_ipv4_first() -> None:
    far, near = make_port("far", "10.1.0.1"), make_port("near", "fd00::1", "10.2.0.1", host="h")
    source, target = reach.ends("a", [make_port("near", "10.2.0.2")], "b", [far, near])
    assert source == End(name="a", host="compute-1", port_id="port-near")
    assert target == End(name="b", host="h", port_id="port-near", address="10.2.0.1")
    _, target = reach.ends("a", [make_port("other", "10.3.0.1")], "b", [far, near])
    assert target.address == "10.1.0.1"
    with pytest.raises(ConfigError, match="VM b has no address"):
        reach.ends("a", [near], "b", [make_port("near")])
    with pytest.raises(ConfigError, match="VM a is on no host"):
        reach.ends("a", [make_port("near", "10.2.0.2", host="")], "b", [near])


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_the_programs_that_ask_and_listen_understand_each_other(protocol: str) -> None:
    listen = (sys.executable, "-c", reach.LISTEN, protocol, "127.0.0.1", "18081", "word", "30")

    def ask(word: str, within_s: str, silent: int) -> list[str]:
        argv = (protocol, "127.0.0.1", "18081", word, within_s, str(silent))
        done = subprocess.run(
            (sys.executable, "-c", reach.ASK, *argv),
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return done.stdout.split(None, 3)

    with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as listener:
        try:
            assert listener.stdout
            assert listener.stdout.readline() == "listening\n"
            assert ask("word", "5", 0) == ["1", "1", "0"]
            asked, answered, quiet, last = ask("another", "5", reach.SILENT)
            assert (asked, answered, quiet, last) == ("3", "0", "3", "somebody else answers\n")
            again = subprocess.run(listen, capture_output=True, text=True, check=True, timeout=30)
            assert again.stdout == "taken\n"
        finally:
            listener.terminate()
    asked, answered, *_ = ask("word", "0.5", 0)
    assert (int(asked) > 1, answered) == (True, "0")


# What is done with VMs


def test_a_vm_s_life(lab: Lab, pair: tuple[fakevm.Vm, fakevm.Vm]) -> None:
    client, web = pair
    web.reboot()
    web.rebuild()
    web.pause()
    web.resume()
    web.shelve()
    assert (web.host, web.port.status) == ("", "DOWN")
    with pytest.raises(ConfigError, match="VM web is on no host"):
        client.ping(web)
    web.unshelve("compute-3")
    assert lab.vms["web"].host == "compute-3"
    assert web.migrate("compute-2", kind="cold", confirm=False).outcome == "moved"
    assert web.confirm_migration() == "compute-3"
    assert web.migrate("compute-1", kind="cold", confirm=False).outcome == "moved"
    assert web.revert_migration().destination == "compute-2"
    with pytest.raises(ConfigError, match="there is no step 'lunch'"):
        web.migrate("compute-1", fail_at="lunch")
    with pytest.raises(FakevmError) as caught:
        web.migrate("compute-1", fail_at="activate")
    assert "activate" in str(caught.value)
    assert web.host == "compute-2"


def test_a_vm_s_nics_come_and_go(
    lab: Lab, cloud: FakeCloud, pair: tuple[fakevm.Vm, fakevm.Vm]
) -> None:
    client, web = pair
    port = cloud.create_port({"network_id": lab.networks["blue"].id, "name": "more"})
    row = web.attach(port)
    assert (row.port_id, row.host, row.vm_name) == (port.id, "compute-2", "web")
    assert web.unplug("more").changed
    assert web.plug(port).port_id == port.id
    with pytest.raises(NotFoundError, match="VM client has no port 'more', but client-blue"):
        client.detach("more")
    assert not web.detach("more").deleted
    assert web.port.name == "web-blue"


def test_a_lab_file_is_applied(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "fakevm.yaml"
    file.write_text("networks: {blue: {subnets: [10.1.0.0/24]}}\n", encoding="utf-8")
    planned = lab.apply(file, dry_run=True).changes
    assert [str(one.name) for one in planned] == ["blue", "blue 10.1.0.0/24"]
    assert "blue" not in lab.networks
    lab.apply(tmp_path)
    assert "blue" in lab.networks
    file.write_text("networks: {}\n", encoding="utf-8")
    assert lab.apply(file).left == ("network blue",)
    lab.apply(file, prune=True)
    assert "blue" not in lab.networks
    with pytest.raises(NotFoundError, match="there is no file"):
        lab.apply(tmp_path / "other.yaml")


def test_a_scenario_that_is_none_is_told(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="there is no scenario 'lunch'"):
        lab.scenario("lunch")


# What is broken, and waited for


def test_a_state_is_waited_for(lab: Lab) -> None:
    states = iter(["", "", "done"])
    assert lab.wait_for("it is done", lambda: next(states), interval_s=0) == "done"
    with pytest.raises(WaitTimeoutError, match=r"'fakevm' after 0 s: it is done .* was False"):
        lab.wait_for("it is done", lambda: False, timeout_s=0)


# How a lab is made


def test_a_lab_is_wished_for_in_the_file_s_words(tmp_path: Path) -> None:
    asked: words.LabWords = {
        "computes": 2,
        "backend": "ovn",
        "metadata": False,
        "service_plugins": ("router", "qos"),
        "config": tmp_path,
    }
    wishes = begin.wishes("mine", asked, build=False)
    assert (wishes.computes, wishes.backend, wishes.build) == (2, "ovn", False)
    assert wishes.options == {"metadata": "false", "service-plugins": "router,qos"}
    assert wishes.config == tmp_path
    with pytest.raises(ConfigError, match=r"lab 'mine': computes: .*, not 0"):
        begin.wishes("mine", {"computes": 0}, build=True)
    with pytest.raises(ConfigError, match=r"lab 'mine': metadata: a lab of the backend ovs has no"):
        begin.wishes("mine", {"backend": "ovs", "metadata": True}, build=True)


@pytest.mark.parametrize(
    ("said", "meant", "without"),
    [
        (words.PoolWords, model.Pool, set()),
        (words.RouteWords, model.Route, set()),
        (words.SubnetWords, model.Subnet, set()),
        (words.NetworkWords, model.Network, set()),
        (words.GatewayWords, model.Gateway, set()),
        (words.InterfaceWords, model.Interface, set()),
        (words.RouterWords, model.Router, set()),
        (words.SecurityGroupWords, model.SecurityGroup, set()),
        (words.AddressPairWords, model.AddressPair, set()),
        (words.NicWords, model.Nic, set()),
        (words.QosPolicyWords, model.QosPolicy, set()),
        (words.BandwidthLimitsWords, model.BandwidthLimits, set()),
        (words.BandwidthLimitWords, model.BandwidthLimit, set()),
        (words.PacketRateLimitsWords, model.PacketRateLimits, set()),
        (words.PacketRateLimitWords, model.PacketRateLimit, set()),
        (words.TrunkWords, model.Trunk, set()),
        (words.SubportWords, model.Subport, set()),
        (words.FloatingIpWords, model.FloatingIp, set()),
        (
            words.LabWords,
            model.LabFile,
            {"name", "networks", "routers", "security_groups", "qos_policies"}
            | {"trunks", "floating_ips", "vms"},
        ),
    ],
)
def test_the_words_are_those_of_the_lab_file(
    said: type, meant: type[model.Part], without: set[str]
) -> None:
    # Those of the classes that it extends, too.
    assert set(said.__annotations__) == set(meant.model_fields) - without


ROOT = Path(__file__).parents[2]


def test_the_page_s_example_is_the_one_whose_types_are_checked() -> None:
    page = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    assert shown == [(ROOT / "examples" / "library.py").read_text(encoding="utf-8")]


def test_what_the_page_names_is_there() -> None:
    page = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:with )?(lab|Lab|vm)\.(\w+)", page))
    assert len(named) > 60
    of = {"lab": Lab, "Lab": Lab, "vm": fakevm.Vm}
    assert [f"{who}.{name}" for who, name in sorted(named) if not hasattr(of[who], name)] == []


def test_users_types_are_checked() -> None:
    assert (Path(fakevm.__file__).parent / "py.typed").is_file()


def test_the_library_s_face_is_imported_when_it_is_used() -> None:
    code = "import sys, fakevm; print('Lab', fakevm.Lab.__name__, *sys.modules)"
    argv = (sys.executable, "-c", code)
    loaded = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
    assert {"pydantic", "openstack", "docker", "keystoneauth1"}.isdisjoint(loaded.split())
