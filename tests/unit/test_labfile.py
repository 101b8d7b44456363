"""The lab file: what is read of it, what is done by it, what is saved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakevm.contents.converge import Converged
from fakevm.errors import ConflictError
from fakevm.lab import Lab
from fakevm.labfile import checks, document, save, source, starter, wanted
from fakevm.labfile.model import schema
from fakevm.labfile.problems import LabFileError
from tests.fakes.cloud import FakeCloud
from tests.unit.conftest import World

FILE = """\
networks:
  blue: {subnets: [10.1.0.0/24]}
  red: {subnets: [{cidr: 10.2.0.0/24, enable_dhcp: false}]}
  outside: {external: true, subnets: [172.24.0.0/24]}
routers:
  r1:
    external_gateway: outside
    interfaces: [blue, {subnet: red-v4, ip_address: 10.2.0.254}]
    routes: [{destination: 10.9.0.0/16, nexthop: 10.1.0.9}]
security_groups:
  web: {rules: [ingress tcp 80, ingress from web]}
qos_policies:
  slow: {bandwidth_limit: {egress: {max_kbps: 1000}}, dscp_mark: 26}
vms:
  web: {host: compute-1, nics: [{network: blue, security_groups: [web], addressing: static}]}
  db: {nics: [{network: red, qos_policy: slow, addressing: static}]}
  client: {nics: [{network: blue, addressing: static}, {network: red, addressing: static}]}
trunks:
  uplink: {port: client-blue, sub_ports: [{segmentation_id: 100, network: red}]}
floating_ips:
  web: outside
"""


# The same, but for the network by which its router leads outside.
OTHER_GATEWAY = FILE.replace("external_gateway: outside", "external_gateway: other").replace(
    "routers:", "  other: {external: true, subnets: [172.25.0.0/24]}\nrouters:"
)


def problems(text: str | bytes) -> list[str]:
    """Return what is told of a file that is not as it should be."""
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(LabFileError) as caught:
        document.read(data, "f")
    assert [str(caught.value), *getattr(caught.value, "__notes__", ())] == [
        str(one) for one in caught.value.problems
    ]
    return [str(one).removeprefix("f:") for one in caught.value.problems]


@pytest.fixture
def lab(world: World, cloud: FakeCloud) -> Iterator[Lab]:
    with world.lab() as lab:
        yield lab


def up(lab: Lab, text: str, *, prune: bool = False, dry_run: bool = False) -> Converged:
    things = wanted.of(document.read(text.encode(), "f"))
    return lab.converge(things, prune=prune, dry_run=dry_run, timeout_s=5)


def words(done: Converged) -> list[str]:
    """Return what was done, as "create network blue"."""
    assert not done.errors
    return [f"{one.action} {one.kind} {one.name}" for one in done.changes]


# Reading


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "2:1: while parsing a flow node: did not find expected node content"),
        ("networks:\n\tblue:", "2:1: a tab can't indent in YAML: use spaces"),
        ("networks: &a {}\nrouters: *a", "1:11: anchors and aliases are not read"),
        ("<<: {}", "1:1: anchors and merge keys are not read"),
        ("computes: 1\ncomputes: 2", "2:1: 'computes' stands here twice: see line 1, column 1"),
        (b"name: \xff", "1:7: UTF-8 is expected, not the byte 0xff"),
        ("name: \x07", "1:7: a character that YAML does not have"),
        ("[" * 1000, "1:22: it is nested too deep"),
        ("a: 1\n---\nb: 1", "2:1: only one document is read"),
        ("? [a]\n: b", "1:3: a key is text"),
        ("name: !!python/none x", "1:7: a tag is not read: tag:yaml.org,2002:python/none"),
        ("- a", "1:1: a mapping is expected, not a list"),
        ("x" * 1_000_001, "1:1: a lab file has at most 1000000 bytes"),
        ("computs: 2", "1:1: there is no key 'computs' here; did you mean 'computes'?"),
        ("computes: 010", "1:1: computes: a number is expected, not '010'"),
        ("vms: {a: {}}", "1:7: the key 'nics' is missing"),
        ("l2population: yes", "1:1: l2population: true or false is expected, not 'yes'"),
        (
            "backend: ovx",
            "1:1: backend: ovs, ovn is expected, not 'ovx'; did you mean 'ovs'?",
        ),
        (
            "networks: {a: {subnets: [10.0.0.1/24]}}",
            "1:26: cidr: 10.0.0.1/24 has host bits set",
        ),
    ],
)
def test_what_is_not_as_it_should_be_is_told_with_its_place(text: str | bytes, told: str) -> None:
    assert problems(text) == [told]


def test_all_that_is_wrong_is_told_at_once() -> None:
    text = "computs: 1\nbackend: x\nnetworks: {a: {shaerd: true}}"
    assert len(problems(text)) == 3


@pytest.mark.parametrize("text", ["", "# nothing", "networks:\nvms: {}\n"])
def test_a_file_may_say_nothing(text: str) -> None:
    assert wanted.of(document.read(text.encode(), "f")) == []


def test_what_looks_like_a_number_or_a_word_of_yaml_is_a_name() -> None:
    text = """
networks: {10: {subnets: [10.0.0.0/24]}, on: {}, сеть: {}}
vms: {1: {nics: [{network: 10, mac_address: 11:22:33:44:55:06}, on]}}
"""
    found = document.read(text.encode(), "f")
    assert list(found.networks) == ["10", "on", "сеть"]
    assert [nic.network for nic in found.vms["1"].nics] == ["10", "on"]
    assert found.vms["1"].nics[0].mac_address == "11:22:33:44:55:06"


NETS = """\
networks:
  blue: {subnets: [10.1.0.0/24]}
  red: {subnets: [10.1.0.0/16]}
  one: {subnets: [{cidr: 10.3.0.0/24, name: same}]}
  other: {subnets: [{cidr: 10.3.0.0/24, name: same}]}
  far: {subnets: [{cidr: 2001:db8::/64, gateway_ip: fe80::1}]}
"""


def test_what_neutron_takes_is_taken() -> None:
    far = "{subnet: far, ip_address: 2001:db8::1}"
    text = f"{NETS}routers: {{r: {{interfaces: [one, 10.1.0.0/24, {far}]}}}}"
    found = document.read(text.encode(), "f")
    assert [subnet.name for subnet in found.networks["other"].subnets] == ["same"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("vms: {a: {nics: [bleu]}}", "no network 'bleu' in this file; did you mean 'blue'?"),
        (
            "vms: {a: {nics: [{network: blue, fixed_ips: [10.9.0.1]}]}}",
            "10.9.0.1 is in no subnet of network 'blue', which has 10.1.0.0/24",
        ),
        (
            "vms: {a: {nics: [{network: blue, security_groups: [wbe]}]}}\nsecurity_groups: {web: }",
            "there is no security group 'wbe' in this file; did you mean 'web'?",
        ),
        (
            "routers: {r: {interfaces: [blue, red]}}",
            "10.1.0.0/16 of 'red' overlaps 10.1.0.0/24 of 'blue', on one router",
        ),
        ("routers: {r: {external_gateway: blue}}", "network 'blue' is not external"),
        (
            "vms: {a: {nics: [blue]}}\n"
            "trunks: {t: {port: a, sub_ports: [{network: red, segmentation_id: 1}]},"
            " u: {port: t-1}}",
            "'t-1' is a trunk's subport: no trunk has trunks",
        ),
        (
            "routers: {r: {interfaces: [blue],"
            " routes: [{destination: 0.0.0.0/0, nexthop: 10.1.0.2}]},"
            " s: {interfaces: [{subnet: blue, ip_address: 10.1.0.2}],"
            " routes: [{destination: 0.0.0.0/0, nexthop: 10.1.0.1}]}}",
            "a loop: what goes to 0.0.0.0/0 goes r → s → r",
        ),
        ("computes: 2\nvms: {a: {host: compute-3, nics: [blue]}}", "there is no host 'compute-3'"),
        ("security_groups: {web: {rules: [ingress tcp 80 from wbe]}}", "and 'wbe' is no CIDR"),
        ("floating_ips: {a: blue}", "there is no NIC or VM 'a' in this file"),
        (
            "routers: {r: {interfaces: [{subnet: same, ip_address: 10.3.0.9}]}}",
            "'same' means several subnets",
        ),
        (
            "routers: {r: {interfaces: [10.3.0.0/24]}}",
            "'10.3.0.0/24' means several subnets",
        ),
        (
            "routers: {r: {interfaces: [far]}}",
            "the gateway fe80::1 is not in 2001:db8::/64: ip_address is needed here",
        ),
        (
            "networks: {a: {subnets: [{cidr: 10.1.0.0/24, gateway_ip: 10.2.0.1}]}}",
            "10.2.0.1 is not in 10.1.0.0/24",
        ),
        (
            "networks: {a: {subnets: [{cidr: 'fd00::/64', gateway_ip: 'fd01::1'}]}}",
            "fd01::1 is not in fd00::/64",
        ),
    ],
)
def test_what_does_not_fit_together_is_told(text: str, told: str) -> None:
    found = problems(text if text.startswith("networks:") else NETS + text)
    assert any(told in one for one in found), found


def test_the_schema_that_is_shipped_is_the_model_s() -> None:
    assert json.loads(starter.SCHEMA.read_text(encoding="utf-8")) == schema()


def test_the_file_to_begin_with_is_one() -> None:
    text = starter.starter("mine")
    assert text.startswith("# yaml-language-server: $schema=file:///")
    assert document.read(text.encode(), "f").name == "mine"
    # What is commented out is right, too.
    whole = text.replace("\n# backend: ovn", "").replace("\n# config: neutron.d", "")
    uncommented = "\n".join(
        line.replace("# ", "", 1) if line.strip().startswith("# ") and ":" in line else line
        for line in whole.splitlines()
        if not line.startswith(("# A lab", "# The words", "# yaml"))
    )
    assert document.read(uncommented.encode(), "f").trunks["uplink"].port == "client-red"


# Carrying out


def test_a_lab_gets_what_its_file_has_and_then_nothing_more(lab: Lab, cloud: FakeCloud) -> None:
    done = words(up(lab, FILE))
    assert {"create vm web", "create trunk uplink", "create routes r1"} <= set(done)
    assert words(up(lab, FILE)) == []
    assert {one.host for one in cloud.ports_by_id.values() if one.device_owner == "compute:nova"}
    assert all("fakevm-file" in tags for tags in cloud.tags.values())


def test_a_dry_run_changes_nothing(lab: Lab, cloud: FakeCloud) -> None:
    done = up(lab, FILE, dry_run=True)
    assert "create vm web" in words(done)
    assert {one.outcome for one in done.changes} == {"planned"}
    assert cloud.writes == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("host: compute-1", "host: compute-2", ["move vm web"]),
        (
            "tcp 80",
            "tcp 443",
            ["create rule web ingress tcp 443", "delete rule web ingress tcp 80"],
        ),
        ("dscp_mark: 26", "dscp_mark: 10", ["change qos_rule slow dscp_marking"]),
        ("max_kbps: 1000", "max_kbps: 2000", ["change qos_rule slow bandwidth_limit egress"]),
        (
            "{network: red, qos_policy: slow, addressing: static}",
            "{network: red, addressing: static}, {network: blue, addressing: static}",
            ["change nic db db-red", "create nic db db-blue"],
        ),
        (", {subnet: red-v4, ip_address: 10.2.0.254}", "", ["delete interface r1 red 10.2.0.0/24"]),
        ("nexthop: 10.1.0.9", "nexthop: 10.1.0.8", ["release routes r1", "change routes r1"]),
        ("enable_dhcp: false", "enable_dhcp: true", ["change subnet red 10.2.0.0/24"]),
        (
            "sub_ports: [{segmentation_id: 100, network: red}]",
            "sub_ports: []",
            ["delete sub_port uplink 100", "delete port uplink uplink-100"],
        ),
    ],
)
def test_an_edit_changes_just_that(
    lab: Lab, cloud: FakeCloud, old: str, new: str, expected: list[str]
) -> None:
    up(lab, FILE)
    assert old in FILE
    edited = FILE.replace(old, new)
    assert sorted(words(up(lab, edited))) == sorted(expected)
    assert words(up(lab, edited)) == []


def test_a_nic_with_another_address_is_made_anew_and_keeps_its_floating_ip(
    lab: Lab, cloud: FakeCloud
) -> None:
    up(lab, FILE)
    groups = "security_groups: [web], "
    edited = FILE.replace(groups, f"{groups}fixed_ips: [10.1.0.77], ")
    assert words(up(lab, edited)) == [
        "delete nic web web-blue",
        "create nic web web-blue",
        "change floating_ip web web-blue",
    ]
    assert words(up(lab, edited)) == []


TWO = """\
networks:
  blue: {subnets: [10.1.0.0/24]}
  red: {subnets: [10.2.0.0/24]}
vms: {web: {host: compute-1, nics: [NICS]}}
"""


def names_of_nics(cloud: FakeCloud) -> list[str]:
    """Return the names of VMs' ports."""
    return sorted(one.name for one in cloud.ports_by_id.values() if one.device_id)


def test_a_nic_that_the_file_no_longer_has_goes(world: World, lab: Lab, cloud: FakeCloud) -> None:
    both = "{network: blue, addressing: static}, {network: red, addressing: static}"
    first, second = "{network: blue, addressing: static}", "{network: red, addressing: static}"
    up(lab, TWO.replace("NICS", both))
    # Somebody's own NIC stays.
    cloud.create_port({"network_id": cloud.network("red").id, "name": "mine"})
    (mine,) = (one for one in cloud.ports_by_id.values() if one.name == "mine")
    lab.attach("web", mine.id)
    assert words(up(lab, TWO.replace("NICS", first))) == ["delete nic web web-red"]
    assert names_of_nics(cloud) == ["mine", "web-blue"]
    lab.detach(mine.id)
    assert sorted(words(up(lab, TWO.replace("NICS", second)))) == [
        "create nic web web-red",
        "delete nic web web-blue",
    ]
    assert names_of_nics(cloud) == ["web-red"]
    # All of a VM's NICs are others, and it is on another host.
    edited = TWO.replace("NICS", first).replace("compute-1", "compute-2")
    assert "move vm web" in words(up(lab, edited))
    assert names_of_nics(cloud) == ["web-blue"]
    assert [vif.port_id for vif in world.hosts["compute-1"].vifs_by_port.values()] == []
    assert words(up(lab, edited)) == []


@pytest.mark.parametrize("prune", [False, True])
def test_a_nic_that_goes_leaves_its_port_to_its_trunk(
    lab: Lab, cloud: FakeCloud, prune: bool
) -> None:
    up(lab, FILE)
    trunk = "  uplink: {port: client-blue, sub_ports: [{segmentation_id: 100, network: red}]}\n"
    edited = FILE.replace(f"trunks:\n{trunk}", "")
    edited = edited.replace(
        "client: {nics: [{network: blue, addressing: static}, ", "client: {nics: ["
    )
    done = words(up(lab, edited, prune=prune))
    assert "delete nic client client-blue" in done
    assert ("delete trunk uplink" in done) == prune
    assert ("client-blue" in [one.name for one in cloud.ports_by_id.values()]) != prune
    assert words(up(lab, edited, prune=prune)) == []


def test_what_the_file_no_longer_has_goes_by_prune_alone(lab: Lab, cloud: FakeCloud) -> None:
    up(lab, FILE)
    done = up(lab, "")
    assert words(done) == []
    assert "vm web" in done.left
    gone = words(up(lab, "", prune=True))
    assert gone.index("delete vm client") < gone.index("delete trunk uplink")
    assert cloud.ports_by_id == {}
    assert {kind: len(rows) for kind, rows in cloud.rows.items() if rows} == {
        "security-groups": 1,
        "security-group-rules": 4,
    }
    assert words(up(lab, "", prune=True)) == []


def test_what_others_made_is_left_alone(lab: Lab, cloud: FakeCloud) -> None:
    made = cloud.write("POST", "/networks", {"network": {"name": "blue", **OTHERS}})["network"]
    with pytest.raises(ConflictError, match="network blue is there, and was not made by") as caught:
        up(lab, FILE)
    assert caught.value.hint == f"fakevm openstack network set --tag fakevm-file {made['id']}"
    assert [one for one in cloud.writes if not one[0].startswith("POST /networks")] == []
    cloud.write("PUT", f"/networks/{made['id']}/tags/fakevm-file")
    assert "create subnet blue 10.1.0.0/24" in words(up(lab, FILE))


OTHERS = {
    "shared": False,
    "router:external": False,
    "admin_state_up": True,
    "port_security_enabled": True,
}


def test_what_was_cut_off_before_its_tag_is_the_file_s(lab: Lab, cloud: FakeCloud) -> None:
    up(lab, FILE)
    cloud.tags.clear()
    assert words(up(lab, FILE)) == []
    assert len(cloud.tags) > 10


def test_a_vm_that_is_there_gets_a_trunk_and_keeps_its_port(lab: Lab, cloud: FakeCloud) -> None:
    trunk = "  uplink: {port: client-blue, sub_ports: [{segmentation_id: 100, network: red}]}\n"
    without = FILE.replace(f"trunks:\n{trunk}", "")
    up(lab, without)
    (port,) = (one for one in cloud.ports_by_id.values() if one.name == "client-blue")
    moved = FILE.replace("client: {nics", "client: {host: compute-1, nics")
    done = words(up(lab, moved))
    assert [one for one in done if "client" in one] == [
        "move vm client",
        "release nic client client-blue",
        "plug nic client client-blue",
    ]
    assert done[-1] == "plug nic client client-blue"
    assert [row["port_id"] for row in cloud.rows["trunks"].values()] == [port.id]
    assert (cloud.port(port.id).host, len(cloud.ports_by_id)) == ("compute-1", 7)
    assert words(up(lab, moved)) == []

    # It goes as it came; also where it goes for another one.
    renamed = moved.replace("uplink:", "other:")
    done = words(up(lab, renamed, prune=True))
    assert done.index("delete trunk uplink") < done.index("create trunk other")
    assert words(up(lab, renamed)) == []
    done = words(up(lab, without, prune=True))
    assert {"release nic client client-blue", "delete trunk other"} < set(done)
    assert done[-1] == "plug nic client client-blue"
    assert cloud.port(port.id).host == "compute-1"
    assert words(up(lab, without, prune=True)) == []


def test_a_group_without_neutron_s_rules_has_its_own_alone(lab: Lab, cloud: FakeCloud) -> None:
    text = "security_groups: {web: {default_rules: false, rules: [egress ipv6, ingress tcp 80]}}"
    up(lab, text)
    assert lab.save().values["security_groups"] == {
        "web": {"default_rules": False, "rules": ["egress ipv6", "ingress tcp 80"]}
    }
    assert words(up(lab, text)) == []


def test_neutron_may_be_without_extensions(lab: Lab, cloud: FakeCloud) -> None:
    cloud.unknown = {"port_security_enabled", "qos_policy_id"}
    policy = "qos_policies:\n  slow: {bandwidth_limit: {egress: {max_kbps: 1000}}, dscp_mark: 26}\n"
    text = FILE.replace(policy, "").replace("qos_policy: slow, ", "")
    assert "create vm client" in words(up(lab, text))
    assert words(up(lab, text)) == []


def test_a_port_has_port_security_as_the_file_says_whatever_its_network_has(
    lab: Lab, cloud: FakeCloud
) -> None:
    text = """\
networks:
  blue: {port_security_enabled: false, subnets: [10.1.0.0/24]}
vms:
  a: {nics: [{network: blue, addressing: static}]}
  b: {nics: [{network: blue, port_security_enabled: true, addressing: static}]}
"""
    up(lab, text)
    rows = cloud.answer("/ports")["ports"]
    assert {row["name"]: row["port_security_enabled"] for row in rows} == {
        "a-blue": False,
        "b-blue": True,
    }
    assert words(up(lab, text)) == []
    # Also where the network gets it only now.
    secure = text.replace("blue: {port_security_enabled: false, ", "blue: {")
    more = f"{secure}  c: {{nics: [{{network: blue, addressing: static}}]}}\n"
    done = words(up(lab, more))
    assert done.index("change network blue") < done.index("create nic c c-blue")
    assert words(up(lab, more)) == []


def test_a_rule_comes_after_the_one_that_it_is_another_word_for(lab: Lab, cloud: FakeCloud) -> None:
    up(lab, FILE)
    edited = FILE.replace("ingress tcp 80", "ingress tcp 80 from 0.0.0.0/0")
    assert words(up(lab, edited)) == [
        "delete rule web ingress tcp 80",
        "create rule web ingress tcp 80 from 0.0.0.0/0",
    ]
    assert words(up(lab, edited)) == []


def test_a_gateway_goes_after_what_is_behind_it(lab: Lab, cloud: FakeCloud) -> None:
    up(lab, FILE)
    edited = OTHER_GATEWAY.replace("web: outside", "web: other")
    done = words(up(lab, edited))
    assert done.index("delete floating_ip web web-blue") < done.index("change router r1")
    assert done.index("change router r1") < done.index("create floating_ip web web-blue")
    assert words(up(lab, edited)) == []
    edited = edited.replace("    external_gateway: other\n", "")
    edited = edited.replace("floating_ips:\n  web: other\n", "")
    assert words(up(lab, edited, prune=True)) == [
        "delete floating_ip web web-blue",
        "change router r1",
    ]


def test_a_router_leaves_a_network_that_goes_for_another_one(lab: Lab, cloud: FakeCloud) -> None:
    up(lab, FILE)
    edited = FILE.replace("outside", "other").replace("172.24.0.0", "172.25.0.0")
    done = words(up(lab, edited, prune=True))
    assert done.index("create network other") < done.index("change router r1")
    assert done.index("change router r1") < done.index("delete network outside")
    assert words(up(lab, edited, prune=True)) == []
    # None has the segment of one that the router is to leave for it.
    flat = edited.replace(
        "external: true", "network_type: flat, physical_network: p, external: true"
    )
    up(lab, "", prune=True)
    up(lab, flat)
    (error,) = up(lab, flat.replace("other", "third"), prune=True).errors
    assert str(error).startswith("create network third: Neutron: network other has this segment")


def test_a_network_comes_after_the_one_whose_segment_it_has(lab: Lab, cloud: FakeCloud) -> None:
    text = "networks: {blue: {network_type: vlan, physical_network: p, segmentation_id: 7}}"
    up(lab, text)
    assert words(up(lab, text.replace("blue", "red"), prune=True)) == [
        "delete network blue",
        "create network red",
    ]


def test_a_route_comes_after_the_gateway_that_leads_to_it(lab: Lab, cloud: FakeCloud) -> None:
    up(lab, FILE)
    edited = OTHER_GATEWAY.replace("floating_ips:\n  web: outside\n", "")
    edited = edited.replace("nexthop: 10.1.0.9", "nexthop: 172.25.0.9")
    done = words(up(lab, edited, prune=True))
    assert done[-1] == "change routes r1"
    assert words(up(lab, edited)) == []


def test_a_gateway_that_is_left_out_is_the_first_address(lab: Lab, cloud: FakeCloud) -> None:
    left_out = """\
networks: {blue: {subnets: [{cidr: 10.1.0.0/24}, fd00::/64]}}
routers: {r1: {interfaces: [blue]}}
"""
    given = left_out.replace("10.1.0.0/24}", "10.1.0.0/24, gateway_ip: 10.1.0.254}")
    up(lab, given)
    assert words(up(lab, given)) == []
    assert words(up(lab, left_out)) == [
        "delete interface r1 blue 10.1.0.0/24",
        "change subnet blue 10.1.0.0/24",
        "create interface r1 blue 10.1.0.0/24",
    ]
    assert words(up(lab, left_out)) == []
    gateways = [row["gateway_ip"] for row in cloud.rows["subnets"].values()]
    assert gateways == ["10.1.0.1", "fd00::1"]
    assert lab.save().values["networks"] == {"blue": {"subnets": ["10.1.0.0/24", "fd00::/64"]}}


@pytest.mark.parametrize("cidr", ["10.1.0.7/32", "fd00::7/128"])
def test_a_subnet_may_have_one_address(lab: Lab, cloud: FakeCloud, cidr: str) -> None:
    text = f"networks: {{blue: {{subnets: [{{cidr: '{cidr}', enable_dhcp: false}}]}}}}"
    up(lab, text)
    assert words(up(lab, text)) == []
    saved = source.written(lab.save().values)
    assert words(up(lab, saved)) == []


@pytest.mark.parametrize(
    ("cidr", "gateway", "pools"),
    [
        ("10.1.0.0/24", None, ["10.1.0.1-10.1.0.254"]),
        ("10.1.0.0/24", "10.1.0.9", ["10.1.0.1-10.1.0.8", "10.1.0.10-10.1.0.254"]),
        ("10.1.0.0/31", None, ["10.1.0.0-10.1.0.1"]),
        ("10.1.0.7/32", "10.1.0.8", ["10.1.0.7-10.1.0.7"]),
        ("fd00::/126", "fd00::", ["fd00::1-fd00::3"]),
        ("fd00::/126", "fd00::1", ["fd00::2-fd00::3"]),
        ("fd00::7/128", "fd00::7", ["fd00::7-fd00::7"]),
    ],
)
def test_pools_are_those_of_neutron(cidr: str, gateway: str | None, pools: list[str]) -> None:
    found = checks.usual_pools(cidr, gateway)
    assert sorted(f"{one['start']}-{one['end']}" for one in found) == sorted(pools)


def test_a_floating_ip_is_for_another_address_of_its_port(lab: Lab, cloud: FakeCloud) -> None:
    both = "security_groups: [web], fixed_ips: [10.1.0.77, 10.1.0.78], "
    text = FILE.replace("security_groups: [web], ", both)
    first = text.replace("web: outside", "web: {network: outside, fixed_ip_address: 10.1.0.77}")
    second = first.replace("fixed_ip_address: 10.1.0.77", "fixed_ip_address: 10.1.0.78")
    up(lab, first)
    (made,) = cloud.rows["floatingips"].values()
    assert words(up(lab, second)) == ["change floating_ip web web-blue"]
    assert (made["fixed_ip_address"], words(up(lab, second))) == ("10.1.0.78", [])
    # Also where its NIC is made anew.
    third = second.replace("10.1.0.78", "10.1.0.79")
    assert words(up(lab, third)) == [
        "delete nic web web-blue",
        "create nic web web-blue",
        "change floating_ip web web-blue",
    ]
    fourth = third.replace("10.1.0.77", "10.1.0.76")
    assert words(up(lab, fourth))[-1] == "change floating_ip web web-blue"
    assert made["fixed_ip_address"] == "10.1.0.79"
    assert words(up(lab, fourth)) == []


def test_a_floating_ip_whose_vm_was_deleted_is_the_next_one_s(lab: Lab, cloud: FakeCloud) -> None:
    text = FILE.replace("web: outside", "web: outside\n  db: outside")
    up(lab, text)
    before = set(cloud.rows["floatingips"])
    one, two = cloud.rows["floatingips"].values()
    lab.delete_vm("web")
    lab.delete_vm("db")
    assert [one["port_id"], two["port_id"]] == [None, None]
    # Who names its address has that one.
    named = text.replace(
        "web: outside",
        f"web: {{network: outside, floating_ip_address: {two['floating_ip_address']}}}",
    )
    done = words(up(lab, named))
    assert [change for change in done if "floating_ip" in change] == [
        "change floating_ip web web-blue",
        "change floating_ip db db-red",
    ]
    assert cloud.rows["floatingips"].keys() == before
    assert cloud.port(two["port_id"]).name == "web-blue"
    assert cloud.port(one["port_id"]).name == "db-red"
    assert words(up(lab, named)) == []


def test_a_pair_with_the_port_s_own_mac_address_is_as_one_without(
    lab: Lab, cloud: FakeCloud
) -> None:
    text = """\
networks: {blue: {subnets: [10.1.0.0/24]}}
vms:
  a:
    nics:
    - network: blue
      addressing: static
      mac_address: "fa:16:3e:00:00:77"
      allowed_address_pairs:
      - {ip_address: 10.1.0.200, mac_address: "fa:16:3e:00:00:77"}
      - {ip_address: 10.1.0.201, mac_address: "fa:16:3e:00:00:78"}
      - 10.1.0.202
"""
    up(lab, text)
    assert words(up(lab, text)) == []


def test_an_error_keeps_only_what_needs_it(lab: Lab, cloud: FakeCloud) -> None:
    cloud.broken["POST /trunks"] = ConflictError("Neutron: no trunks today")
    done = up(lab, FILE)
    outcomes = {f"{one.kind} {one.name}": one.outcome for one in done.changes}
    assert [str(one) for one in done.errors] == ["create trunk uplink: Neutron: no trunks today"]
    assert outcomes["trunk uplink"] == "failed"
    assert outcomes["vm client"] == "left"
    assert outcomes["vm web"] == "done"
    del cloud.broken["POST /trunks"]
    assert "create vm client" in words(up(lab, FILE))


def test_a_vm_that_lost_its_nic_is_plugged_again(lab: Lab, cloud: FakeCloud) -> None:
    up(lab, FILE)
    port = next(one for one in cloud.ports_by_id.values() if one.name == "web-blue")
    lab.unplug(port.id)
    assert words(up(lab, FILE)) == ["plug nic web web-blue"]
    assert words(up(lab, FILE)) == []


# Saving


def test_what_is_saved_changes_nothing_and_makes_the_same(lab: Lab, cloud: FakeCloud) -> None:
    up(lab, FILE)
    text = source.written(lab.save().values)
    assert words(up(lab, text)) == []
    cloud.tags.clear()
    for row in [*cloud.more.values(), *(r for rows in cloud.rows.values() for r in rows.values())]:
        row.pop("description", None)
    # Also where no file made it.
    assert words(up(lab, text)) == []
    found = document.read(text.encode(), "f")
    assert found.networks["blue"].subnets[0].cidr == "10.1.0.0/24"
    assert found.trunks["uplink"].sub_ports[0].segmentation_id == 100
    assert save.of(lab, engine=lab._engine).unsaid == ()


def test_the_schema_of_an_editor_is_a_file_of_the_package() -> None:
    assert Path(starter.SCHEMA).is_file()
