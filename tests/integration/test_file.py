"""The lab file: a lab gets what it says, and what changes in it; it is saved and made again."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException

from tests.integration.command import interrupt_when
from tests.integration.lab import Lab
from tests.waiting import wait_until

FILE = """\
networks:
  file-blue: {subnets: [10.81.0.0/24]}
  file-red: {subnets: [{cidr: 10.82.0.0/24, enable_dhcp: false}]}
routers:
  file-edge: {interfaces: [file-blue, file-red]}
security_groups:
  file-web: {rules: [ingress tcp 80 from 0.0.0.0/0, ingress icmp]}
qos_policies:
  file-slow: {bandwidth_limit: {egress: {max_kbps: 10000, max_burst_kbps: 1000}}}
vms:
  file-web: {host: compute-1, nics: [{network: file-blue, security_groups: [file-web]}]}
  file-db: {host: compute-2, nics: [{network: file-red, security_groups: [file-web]}]}
  file-slow: {host: compute-2, nics: [{network: file-blue, qos_policy: file-slow}]}
  file-client: {host: compute-3, nics: [file-blue]}
trunks:
  file-uplink: {port: file-client, sub_ports: [{segmentation_id: 100, network: file-red}]}
"""

EMPTY = "networks: {}\n"


def changes(lab: Lab, *argv: str, text: str) -> list[str]:
    """Bring the lab to what a file says; return what was done, in words."""
    said: dict[str, Any] = json.loads(
        lab.fakevm.ok("up", "-t", "-", "-f", "json", *argv, stdin=text)
    )
    return [f"{one['action']} {one['kind']} {one['name']}" for one in said["changes"]]


def has_network(lab: Lab, name: str) -> bool:
    """Tell whether Neutron has it; where it does not answer while the lab is brought up, not."""
    with suppress(ClientException, SDKException):
        return any(network.name == name for network in lab.sdk.network.networks())
    return False


def test_a_lab_is_as_its_file_says(lab: Lab, tmp_path: Path) -> None:
    vms = ("file-web", "file-db", "file-slow", "file-client")
    try:
        planned = changes(lab, "--dry-run", text=FILE)
        assert {f"create vm {vm}" for vm in vms} <= set(planned)
        assert not [n for n in lab.sdk.network.networks() if n.name.startswith("file-")]

        # Ctrl-C in the middle of it, and again.
        running = tmp_path / "lab.yaml"
        running.write_text(FILE, encoding="utf-8")
        process = lab.fakevm.start("up", "-t", str(running))
        interrupt_when(process, "a network of the file's", lambda: has_network(lab, "file-red"))
        changes(lab, text=FILE)
        assert changes(lab, "--dry-run", text=FILE) == []
        wait_until("all is wired", lambda: lab.fakevm.run("ping", *vms).exit_code == 0)
        pairs = json.loads(lab.fakevm.ok("ping", "-f", "json", *vms))["pairs"]
        answered = {(one["source"], one["target"]): one["answered"] for one in pairs}
        # Across the router.
        assert answered["file-web", "file-db"]
        assert answered["file-db", "file-web"]

        edited = FILE.replace("tcp 80", "tcp 443").replace(
            "file-web: {host: compute-1, nics: [", "file-web: {host: compute-2, nics: ["
        )
        edited = edited.replace("nics: [file-blue]", "nics: [file-blue, file-red]")
        edited = edited.replace("port: file-client", "port: file-client-file-blue")
        expected = [
            "create nic file-client file-client-file-red",
            "create rule file-web ingress tcp 443 from 0.0.0.0/0",
            "delete rule file-web ingress tcp 80 from 0.0.0.0/0",
            "move vm file-web",
        ]
        assert sorted(changes(lab, "--dry-run", text=edited)) == expected
        assert sorted(changes(lab, text=edited)) == expected
    finally:
        assert "delete vm file-web" in changes(lab, "--prune", text=EMPTY)
    assert not [n for n in lab.sdk.network.networks() if n.name.startswith("file-")]


def odd_things(lab: Lab) -> None:
    """Make by hand what Neutron takes: subnets without a name, a rule with host bits."""
    neutron = lab.sdk.network
    red = neutron.find_network("file-red", ignore_missing=False)
    edge = neutron.find_router("file-edge", ignore_missing=False)
    group = neutron.find_security_group("file-web", ignore_missing=False)
    more = {"network_id": red.id, "enable_dhcp": False}
    neutron.create_subnet(cidr="2001:db8:82::/64", ip_version=6, gateway_ip="fe80::1", **more)
    nameless = neutron.create_subnet(cidr="10.82.1.0/24", ip_version=4, **more)
    neutron.add_interface_to_router(edge, subnet=nameless.id)
    neutron.create_security_group_rule(
        security_group_id=group.id,
        direction="ingress",
        protocol="tcp",
        port_range_min=22,
        port_range_max=22,
        remote_ip_prefix="10.82.0.5/24",
    )


@pytest.mark.nightly
def test_what_is_saved_makes_the_same_again(lab: Lab) -> None:
    try:
        changes(lab, text=FILE)
        odd_things(lab)
        saved = lab.fakevm.ok("save")
        assert "{cidr: '2001:db8:82::/64', name: '', gateway_ip: 'fe80::1'" in saved
        assert "ingress tcp 22 from 10.82.0.0/24" in saved
        assert changes(lab, "--dry-run", text=saved) == []
        changes(lab, "--prune", text=EMPTY)
        assert "create vm file-web" in changes(lab, text=saved)
        assert lab.fakevm.ok("save") == saved
    finally:
        changes(lab, "--prune", text=EMPTY)


def test_what_others_made_is_left_alone(lab: Lab) -> None:
    made = lab.sdk.network.create_network(name="file-mine")
    try:
        text = "networks: {file-mine: {subnets: [10.83.0.0/24]}}\n"
        for argv in (("--dry-run",), ()):
            result = lab.fakevm.run("up", "-t", "-", *argv, stdin=text)
            assert result.exit_code == 4, f"{result}"
            hint = f"fakevm openstack network set --tag fakevm-file {made.id}"
            assert hint in result.stderr
    finally:
        lab.sdk.network.delete_network(made)
