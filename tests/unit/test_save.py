"""What is saved of a lab that others have made: it is read again, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from fakevm.lab import Lab
from fakevm.labfile import document, source
from fakevm.labfile.save import Saved
from tests.fakes.cloud import FakeCloud
from tests.unit.conftest import World
from tests.unit.test_labfile import up, words


@pytest.fixture
def lab(world: World, cloud: FakeCloud) -> Iterator[Lab]:
    with world.lab() as lab:
        yield lab


def subnet(cloud: FakeCloud, network: str, cidr: str, **more: Any) -> str:
    """Make a subnet by hand; return its id."""
    body = {
        "network_id": cloud.network(network).id,
        "cidr": cidr,
        "ip_version": 6 if ":" in cidr else 4,
        "enable_dhcp": False,
        "dns_nameservers": [],
        "host_routes": [],
        **more,
    }
    return str(cloud.write("POST", "/subnets", {"subnet": body})["subnet"]["id"])


def saved(lab: Lab) -> Saved:
    """Return what is saved, which is read again and changes nothing."""
    found = lab.save()
    text = source.written(found.values)
    document.read(text.encode(), "f")
    assert words(up(lab, text)) == [], text
    return found


def test_a_subnet_without_a_name_stays_without(lab: Lab, cloud: FakeCloud) -> None:
    up(lab, "networks: {blue: }")
    subnet(cloud, "blue", "10.1.0.0/24")
    subnet(cloud, "blue", "10.2.0.0/24", name="blue-v4")
    assert saved(lab).values["networks"]["blue"]["subnets"] == [
        {"cidr": "10.1.0.0/24", "enable_dhcp": False, "name": ""},
        {"cidr": "10.2.0.0/24", "enable_dhcp": False},
    ]


def test_subnets_may_have_one_name_and_a_gateway_that_is_link_local(
    lab: Lab, cloud: FakeCloud
) -> None:
    up(lab, "networks: {blue: , red: }")
    for network in ("blue", "red"):
        subnet(cloud, network, "10.1.0.0/24", name="subnet")
    subnet(cloud, "red", "2001:db8::/64", name="red-v6", gateway_ip="fe80::1")
    assert saved(lab).values["networks"]["red"]["subnets"] == [
        {"cidr": "2001:db8::/64", "enable_dhcp": False, "gateway_ip": "fe80::1"},
        {"cidr": "10.1.0.0/24", "enable_dhcp": False, "name": "subnet"},
    ]


def test_what_neutron_lists_in_no_order_is_saved_in_one(lab: Lab, cloud: FakeCloud) -> None:
    up(
        lab,
        """\
networks: {blue: {subnets: [10.2.0.0/24, 10.1.0.0/24]}}
vms: {web: {nics: [{network: blue, addressing: static}]}}
trunks:
  t: {port: web, sub_ports: [{network: blue, segmentation_id: 9}]}
""",
    )
    before = lab.save().values
    for _ in range(2):
        rows = cloud.rows["subnets"]
        cloud.rows["subnets"] = dict(reversed(rows.items()))
        assert saved(lab).values == before
    assert before["networks"]["blue"]["subnets"] == ["10.2.0.0/24", "10.1.0.0/24"]


ROUTER = """\
networks: {blue: , red: }
routers: {r1: , r2: , r3: }
"""


def test_an_interface_is_named_by_what_means_its_subnet(lab: Lab, cloud: FakeCloud) -> None:
    up(lab, ROUTER)
    alone = subnet(cloud, "blue", "10.1.0.0/24", name="subnet")
    named = subnet(cloud, "red", "10.2.0.0/24", name="one")
    nameless = subnet(cloud, "red", "10.3.0.0/24")
    same = subnet(cloud, "red", "10.4.0.0/24", name="subnet")
    for name, ends in {"r1": [alone, named], "r2": [nameless], "r3": [same]}.items():
        (router,) = (one for one in cloud.rows["routers"].values() if one["name"] == name)
        for end in ends:
            body = {"subnet_id": end}
            cloud.write("PUT", f"/routers/{router['id']}/add_router_interface", body)
    found = saved(lab)
    assert found.values["routers"] == {
        "r1": {"interfaces": ["blue", "one"]},
        "r2": {"interfaces": ["10.3.0.0/24"]},
        "r3": {"interfaces": ["10.4.0.0/24"]},
    }
    assert found.unsaid == ()


def test_a_rule_s_remote_is_a_network(lab: Lab, cloud: FakeCloud) -> None:
    up(lab, "security_groups: {web: }")
    (group,) = (one for one in cloud.rows["security-groups"].values() if one["name"] == "web")
    rule = {
        "security_group_id": group["id"],
        "direction": "ingress",
        "ethertype": "IPv4",
        "protocol": "tcp",
        "port_range_min": 22,
        "port_range_max": 22,
        "remote_ip_prefix": "10.0.0.5/24",
    }
    cloud.write("POST", "/security-group-rules", {"security_group_rule": rule})
    assert saved(lab).values["security_groups"] == {
        "web": {"rules": ["ingress tcp 22 from 10.0.0.0/24"]}
    }


VMS = """\
networks:
  blue: {subnets: [10.1.0.0/24]}
  outside: {external: true, subnets: [172.24.0.0/24]}
routers: {edge: {external_gateway: outside, interfaces: [blue]}}
vms:
  web:
    host: compute-1
    nics: [{network: blue, addressing: static, fixed_ips: [10.1.0.77, 10.1.0.78]}]
floating_ips: {web: {network: outside, fixed_ip_address: 10.1.0.78}}
"""


def test_a_floating_ip_keeps_its_address_of_several(lab: Lab, cloud: FakeCloud) -> None:
    up(lab, VMS)
    (one,) = saved(lab).values["floating_ips"].values()
    assert one["fixed_ip_address"] == "10.1.0.78"
    first = VMS.replace("fixed_ip_address: 10.1.0.78", "fixed_ip_address: 10.1.0.77")
    up(lab, first)
    (one,) = saved(lab).values["floating_ips"].values()
    assert one["fixed_ip_address"] == "10.1.0.77"


def test_a_vm_on_another_lab_s_host_is_told_and_not_said(lab: Lab, cloud: FakeCloud) -> None:
    up(lab, VMS)
    (port,) = (one for one in cloud.ports_by_id.values() if one.name == "web-blue")
    # As of a lab that has joined this one.
    cloud.ports_by_id[port.id] = replace(port, host="edge-1")
    found = saved(lab)
    assert not found.values.keys() & {"vms", "floating_ips"}
    assert found.unsaid == (
        "vm web, which is on edge-1, no host of this lab",
        "floating ip web web-blue, whose VM is not said",
    )
