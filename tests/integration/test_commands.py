"""The commands of quantum-fakevm, one after the other, on one VM."""

from __future__ import annotations

import uuid

import pytest

from tests.integration.cloud import Cloud, Guest, guest_of
from tests.integration.lab import COMPUTES, Lab

QUANTUM_FAKEVM = (
    "create-port",
    "delete-port",
    "migrate",
    "plug",
    "unplug",
    "unplug-all-host",
    "exec",
)
OURS = ("up", "down", "status", "openstack", "clouds-yaml", "shell", "list", "show", "cleanup")


def test_help_names_every_command(lab: Lab) -> None:
    text = lab.fakevm.ok("--help")
    assert [name for name in (*QUANTUM_FAKEVM, *OURS) if name not in text.split()] == []
    for name in (*QUANTUM_FAKEVM, *OURS):
        assert "--help" in lab.fakevm.ok(name, "--help")


def test_create_port_prints_what_neutron_and_the_host_have(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.1.0.0/24")
    instance = str(uuid.uuid4())
    made = lab.fakevm.json(
        "create-port", "--host", "compute-1", "--name", "p1", "--address", "static",
        network, instance,
    )  # fmt: skip

    port = lab.sdk.network.get_port(made["port_id"])
    assert port.name == "p1"
    assert port.status == "ACTIVE"
    assert port.device_id == made["instance_id"] == instance
    assert port.device_owner == "compute:nova"
    assert port.binding_host_id == made["host"] == "compute-1"
    assert port.mac_address == made["mac_address"]
    assert port.project_id == made["project_id"]
    assert port.network_id == made["network_id"] == network
    ips = [ip["ip_address"] for ip in port.fixed_ips]
    assert [ip["ip_address"] for ip in made["fixed_ips"]] == ips

    host = lab.host("compute-1")
    assert host.addresses(instance) == {f"{ip}/24" for ip in ips}
    nic, lo = host.links(instance)["eth0"], host.links(instance)["lo"]
    assert nic["address"] == port.mac_address
    assert nic["mtu"] == lab.sdk.network.get_network(network).mtu
    assert "UP" in nic["flags"]
    assert "UP" in lo["flags"]
    interface = host.interfaces()[port.id]
    assert interface["name"] == f"tap{port.id}"[:14]
    assert interface["ofport"] > 0
    assert interface["external_ids"]["attached-mac"] == port.mac_address
    assert interface["external_ids"]["iface-status"] == "active"
    assert interface["external_ids"]["vm-uuid"] == instance


@pytest.mark.nightly
def test_a_name_stands_for_the_same_vm_every_time(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.1.0.0/24")
    first = cloud.guest(network, "web", "compute-1")
    second = cloud.guest(network, "web", "compute-1")
    assert first.instance_id == second.instance_id
    assert str(uuid.UUID(first.instance_id)) == first.instance_id
    assert {row["vm_name"] for row in _rows(lab, first, second)} == {"web"}

    host = first.host
    assert set(host.links(first.instance_id)) == {"lo", "eth0", "eth1"}
    assert host.addresses(first.instance_id, "eth1") == {f"{second.ip}/24"}
    assert host.links(first.instance_id)["eth1"]["address"] == second.mac_address

    lab.fakevm.ok("delete-port", second.port_id)
    assert set(host.links(first.instance_id)) == {"lo", "eth0"}
    lab.fakevm.ok("delete-port", first.port_id)
    assert first.instance_id not in host.vm_names()


def test_unplug_and_plug_again(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.1.0.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-2"})
    a.ping(b.ip)

    lab.fakevm.ok("unplug", b.port_id)
    assert lab.hosts_with(b.port_id) == []
    assert b.instance_id not in b.host.vm_names()
    assert lab.sdk.network.get_port(b.port_id).binding_host_id == "compute-2"
    (row,) = _rows(lab, b)
    assert row["differs"]
    a.cannot_ping(b.ip)
    lab.fakevm.ok("unplug", b.port_id)

    for _ in range(2):
        lab.fakevm.ok("plug", b.port_id)
    assert lab.hosts_with(b.port_id) == ["compute-2"]
    (row,) = _rows(lab, b)
    assert not row["differs"]
    a.ping(b.ip)


def test_plug_binds_a_port_that_is_unbound(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.1.0.0/24")
    port = lab.sdk.network.create_port(
        network_id=network, device_id=str(uuid.uuid4()), device_owner="compute:nova"
    )
    lab.fakevm.ok("plug", "--host", "compute-3", port.id)
    port = lab.sdk.network.get_port(port.id)
    assert port.binding_host_id == "compute-3"
    assert lab.hosts_with(port.id) == ["compute-3"]


@pytest.mark.nightly
def test_unplug_all_host_answers_for_each_host(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.1.0.0/24")
    a = cloud.guest(network, "a", "compute-2")
    results = lab.fakevm.json("unplug-all-host", a.port_id)
    assert {row["host"]: row["changed"] for row in results} == {
        name: name == "compute-2" for name in COMPUTES
    }
    assert lab.hosts_with(a.port_id) == []


def test_delete_port_takes_many_and_is_content_without_the_vif(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.1.0.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-3"})
    lab.fakevm.ok("unplug", a.port_id)
    lab.fakevm.ok("delete-port", a.port_id, b.port_id)
    for guest in (a, b):
        assert lab.sdk.network.find_port(guest.port_id) is None
        assert lab.hosts_with(guest.port_id) == []
        assert guest.instance_id not in guest.host.vm_names()


@pytest.mark.nightly
def test_a_vif_goes_by_prefix_and_by_name_and_the_host_is_found(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.1.0.0/24")
    name = f"{cloud.prefix}-port"
    a = cloud.guest(network, "a", "compute-2", name=name)
    for vif in (a.port_id, a.port_id[:13], name):
        assert lab.fakevm.json("show", vif)["port_id"] == a.port_id
        assert lab.fakevm.ok("exec", vif, "hostname") == lab.fakevm.ok(
            "exec", "--host", "compute-2", vif, "hostname"
        )


@pytest.mark.nightly
def test_create_port_takes_a_fixed_ip_and_a_network_by_name(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.1.0.0/24")
    a = guest_of(
        lab,
        lab.fakevm.json(
            "create-port", "--host", "compute-1", "--fixed-ip", "10.1.0.77",
            lab.sdk.network.get_network(network).name, "a",
        ),
    )  # fmt: skip
    assert a.ips == ("10.1.0.77",)


def test_openstack_runs_in_the_lab_with_its_exit_code(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network()
    out = lab.fakevm.ok("openstack", "network", "show", network, "-f", "value", "-c", "name")
    assert out.strip() == lab.sdk.network.get_network(network).name
    assert lab.fakevm.run("openstack", "network", "show", "no-such-network").exit_code == 1


def test_the_formats_say_the_same(lab: Lab, pair: tuple[Guest, Guest]) -> None:
    import yaml

    rows = lab.fakevm.json("list")
    assert yaml.safe_load(lab.fakevm.ok("list", "-f", "yaml")) == rows
    table = lab.fakevm.ok("list", "-f", "table")
    for guest in pair:
        assert guest.port_id in [row["port_id"] for row in rows]
        assert guest.port_id[:8] in table


def _rows(lab: Lab, *guests: Guest) -> list[dict[str, object]]:
    wanted = {guest.port_id for guest in guests}
    return [row for row in lab.fakevm.json("list") if row["port_id"] in wanted]
