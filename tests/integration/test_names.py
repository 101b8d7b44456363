"""Names that a shell, a terminal or a URL could take for something else: passed on or refused."""

from __future__ import annotations

import pytest

from tests.integration.cloud import Cloud
from tests.integration.lab import Lab
from tests.integration.nightly import by_night

NAMES = {
    "shell": "$(touch /tmp/hit);`id` && 'a' \"b\" | c > /tmp/hit #",
    "spaces": "two  words",
    "markup": "[bold red]x[/bold red] [/] [link=file:///]",
    "alphabet": "仮想マシン-Ωμέγα-тест",
    "path": "../../etc/passwd%2f?name=x&y=#",
}


@pytest.mark.parametrize("kind", ["shell", *by_night(*(kind for kind in NAMES if kind != "shell"))])
def test_a_hostile_name_is_only_a_name(lab: Lab, cloud: Cloud, kind: str) -> None:
    name = NAMES[kind]
    network = lab.sdk.network.create_network(name=f"{cloud.prefix} {name}")
    try:
        cloud.subnet(network.id, "10.5.0.0/28", enable_dhcp=False)
        made = lab.fakevm.json(
            "create-port", "--host", "compute-1", "--address", "static", f"--name={name}",
            network.name, name,
        )  # fmt: skip
        port = lab.sdk.network.get_port(made["port_id"])
        assert port.name == name
        assert made["vm_name"] == name
        assert lab.fakevm.json("show", name)["port_id"] == port.id
        # A terminal's width wraps what it shows; the first word stands whole.
        assert name.split()[0][:8] in lab.fakevm.ok("show", name, "-f", "table")
        assert lab.fakevm.ok("exec", name, "--", "printf", "%s", name) == name
        host = lab.host("compute-1")
        assert host.vm_names() >= {made["instance_id"]}
        host.run("test", "!", "-e", "/tmp/hit")
        lab.fakevm.ok("delete-port", name)
        assert made["instance_id"] not in host.vm_names()
    finally:
        for left in list(lab.sdk.network.ports(network_id=network.id)):
            lab.fakevm.run("delete-port", left.id)
        lab.sdk.network.delete_network(network)


@pytest.mark.parametrize("name", ["", " ", " x", "x ", "a\tb", "a\nb", "\x1b[31mred", "v" * 300])
def test_what_is_no_vm_s_name_is_refused(lab: Lab, cloud: Cloud, name: str) -> None:
    network = cloud.network()
    lab.fakevm.fails(2, "create-port", "--host", "compute-1", network, name)
    assert cloud.vifs() == []


def test_a_name_too_long_for_neutron_is_refused(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.5.0.0/28")
    long = "n" * 300
    result = lab.fakevm.run("create-port", "--host", "compute-1", "--name", long, network, "long")
    assert result.exit_code in (1, 2), f"{result}"
    assert "255" in result.stderr
    assert "Traceback" not in result.stderr
    assert cloud.vifs() == []


def test_a_lab_s_name_is_checked_before_anything_starts(lab: Lab) -> None:
    for name in ("Upper", "a b", "../x", "-x", "a" * 40, "$(id)", "名"):
        error = lab.fakevm.fails(2, "up", f"--name={name}")
        assert "name" in error


def test_names_that_nothing_has_are_not_found(lab: Lab) -> None:
    for name in (*NAMES.values(), "n" * 300):
        error = lab.fakevm.fails(3, "show", name)
        assert name.split()[0][:8] in error


@pytest.mark.nightly
def test_a_vm_s_name_wins_over_the_beginning_of_another_s_port(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.5.1.0/24")
    other = cloud.guest(network, "other", "compute-1")
    name = other.port_id[:4]
    named = cloud.guest(network, name, "compute-2")
    assert lab.fakevm.json("show", name)["port_id"] == named.port_id
    assert named.ip in lab.fakevm.ok("exec", name, "--", "ip", "-br", "address")
    assert other.ip in lab.fakevm.ok("exec", other.port_id[:8], "--", "ip", "-br", "address")
    assert lab.fakevm.json("delete-port", name) == [{"port_id": named.port_id}]
