"""A lab of ML2/OVN, with the same commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cloud import Cloud, Guest
from tests.integration.hosts import docker
from tests.integration.lab import COMPUTES, Lab
from tests.integration.ovn import ovn_lab
from tests.integration.routing import assert_routed
from tests.integration.test_testing import run_pytest
from tests.integration.traffic import Ping
from tests.waiting import wait_until

LIMIT_KBPS = 2000
# Four seconds of it.
SENT = 4 * LIMIT_KBPS * 1000 // 8


@pytest.fixture(scope="module")
def lab(lab_name: str) -> Iterator[Lab]:
    """A lab of ML2/OVN instead of the session's."""
    with ovn_lab(lab_name) as lab:
        yield lab


@pytest.fixture
def by_dhcp(cloud: Cloud) -> tuple[Guest, Guest]:
    """Two VMs on two hosts, with addresses by OVN's own DHCP."""
    network = cloud.network()
    cloud.subnet(network, "10.80.0.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-2"}, addressing="dhcp")
    return a, b


def test_its_hosts_are_chassis(lab: Lab) -> None:
    hosts = {row["host"]: row for row in lab.fakevm.json("status")["hosts"]}
    assert set(hosts) == {"network-1", *COMPUTES}
    for name, row in hosts.items():
        assert row["state"] == "healthy"
        assert row["l2_agent"] == "alive"
        assert row["details"]["chassis"] == name
        assert row["details"]["nb_cfg"].split(",")[0].isdigit()
    assert [name for name, row in hosts.items() if row["details"]["gateway"]] == ["network-1"]


def test_vms_get_their_addresses_reach_each_other_and_migrate(
    lab: Lab, by_dhcp: tuple[Guest, Guest]
) -> None:
    a, b = by_dhcp
    assert a.host.addresses(a.instance_id) == {f"{a.ip}/24"}
    a.ping(b.ip)
    assert lab.chassis(b.port_id) == "compute-2"
    with Ping(a.host, a.instance_id, b.ip) as ping:
        lab.migrate("compute-1", b.port_id)
        ping.wait_for_replies(5)
    row = lab.fakevm.json("show", b.port_id)
    assert (row["host"], row["plugged_host"]) == ("compute-1", "compute-1")
    assert lab.chassis(b.port_id) == "compute-1"
    assert lab.hosts_with(b.port_id) == ["compute-1"]


@pytest.mark.nightly
@pytest.mark.parametrize("rarp", [True, False])
def test_a_report_has_what_the_southbound_says_of_the_port(
    lab: Lab, by_dhcp: tuple[Guest, Guest], rarp: bool
) -> None:
    a, b = by_dhcp
    # The guest runs before the activation: what it sends by RARP opens the way.
    argv = ("migrate", "--post-copy", "--timeout", "10", "--probe", a.port_id, "-f", "json")
    options = () if rarp else ("--no-rarp",)
    told = lab.fakevm.run(*argv, *options, "compute-1", b.port_id).json()
    assert told["outcome"] in ("moved", "unsettled")
    facts = [(one["name"], one["value"]) for one in told["facts"]]
    for fact in (
        ("chassis", "compute-2"),
        ("requested-chassis", "compute-2,compute-1"),
        ("activation-strategy", "rarp"),
        ("additional_chassis", "compute-1"),
        ("chassis", "compute-1"),
    ):
        assert fact in facts
    assert (("additional-chassis-activated", "compute-1") in facts) == rarp
    times = [one["time"] for one in told["facts"]]
    assert times == sorted(times)


def test_a_vm_is_told_its_metadata(by_dhcp: tuple[Guest, Guest]) -> None:
    a, _ = by_dhcp
    url = "http://169.254.169.254/openstack/latest/meta_data.json"
    # The agent of the host makes the network's proxy when the first VM is there.
    wait_until("the metadata", lambda: a.lab.fakevm.run(*_get(a, url)).exit_code == 0)
    assert json.loads(a.exec(*_get(a, url)[3:]))["uuid"] == a.instance_id


def _get(guest: Guest, url: str) -> tuple[str, ...]:
    return ("exec", guest.port_id, "--", "curl", "-fsS", "--max-time", "5", url)


@pytest.mark.nightly
def test_a_router_joins_networks_and_leads_outside(lab: Lab, cloud: Cloud) -> None:
    stranger, floating_ip = assert_routed(cloud)
    # What is made while the gateway chassis is away is whole; it goes on when it is back.
    docker("kill", lab.host("network-1").container)
    network = cloud.network(name="meanwhile")
    cloud.subnet(network, "10.15.3.0/24")
    c = cloud.guest(network, "c", "compute-1", addressing="dhcp")
    d = cloud.guest(network, "d", "compute-2", addressing="dhcp")
    c.ping(d.ip)
    docker("start", lab.host("network-1").container)
    lab.wait_until_healthy("network-1")
    stranger.ping(floating_ip)


@pytest.mark.nightly
def test_a_bandwidth_limit_holds(lab: Lab, by_dhcp: tuple[Guest, Guest]) -> None:
    a, b = by_dhcp
    neutron: Any = lab.sdk.network
    policy = neutron.create_qos_policy(name="limited")
    try:
        rule = {"max_kbps": LIMIT_KBPS, "max_burst_kbps": LIMIT_KBPS // 10, "direction": "egress"}
        neutron.create_qos_bandwidth_limit_rule(policy, **rule)
        assert kbps(a, b) > 2 * LIMIT_KBPS
        neutron.update_port(a.port_id, qos_policy_id=policy.id)
        wait_until("the limit", lambda: kbps(a, b) < 1.5 * LIMIT_KBPS)
    finally:
        neutron.update_port(a.port_id, qos_policy_id=None)
        neutron.delete_qos_policy(policy)


def kbps(source: Guest, target: Guest) -> float:
    """Send over TCP; return how fast that was."""
    listen = ("socat", "-u", "TCP-LISTEN:7001,reuseaddr", "OPEN:/dev/null")
    server = target.lab.fakevm.start("exec", target.port_id, "--", *listen)
    try:
        send = (
            f"head -c {SENT} /dev/zero | socat -u STDIN TCP:{target.ip}:7001,retry=50,interval=0.1"
        )
        timed = f"s=$(date +%s%N); {send}; echo $(($(date +%s%N) - s))"
        return SENT * 8 / 1000 / (int(source.exec("sh", "-ec", timed)) / 1e9)
    finally:
        server.communicate(timeout=60)


@pytest.mark.nightly
def test_all_heals_when_its_central_services_are_back(
    lab: Lab, by_dhcp: tuple[Guest, Guest]
) -> None:
    a, b = by_dhcp
    central = lab.host("ovn-central")
    for service in ("ovnnb", "ovnsb", "northd"):
        central.run("s6-svc", "-r", f"/run/services/{service}")
    lab.wait_until_healthy("ovn-central")
    lab.fakevm.ok("unplug", b.port_id)
    wait_until("the port is unbound", lambda: lab.chassis(b.port_id) == "")
    lab.fakevm.ok("plug", b.port_id)
    a.ping(b.ip)


@pytest.mark.nightly
def test_an_ovn_controller_s_end_is_felt_for_half_a_second_at_most(
    lab: Lab, cloud: Cloud, by_dhcp: tuple[Guest, Guest]
) -> None:
    a, b = by_dhcp
    pid = b.host.service_pid("ovn-controller")
    with Ping(a.host, a.instance_id, b.ip) as ping:
        ping.wait_for_replies(5)
        b.host.run("kill", "-KILL", str(pid))
        wait_until(
            "another ovn-controller", lambda: b.host.service_pid("ovn-controller") not in (0, pid)
        )
        ping.wait_for_replies(20)
        lost = ping.stop()
    # The new one takes all flows away before it adds its own (ovn-controller(8),
    # ovn-ofctrl-wait-before-clear); most often that is between two pings.
    assert len(lost) <= 5
    # What has begun anew does its work.
    network = lab.sdk.network.get_port(a.port_id).network_id
    a.ping(cloud.guest(network, "c", "compute-2").ip)


@pytest.mark.nightly
def test_a_northbound_that_is_away_is_named_and_nothing_is_lost(
    lab: Lab, by_dhcp: tuple[Guest, Guest]
) -> None:
    a, b = by_dhcp
    network = lab.sdk.network.get_port(a.port_id).network_id
    argv = ("create-port", "--timeout", "5", "--host", "compute-1", network, f"{network}-late")
    with lab.host("ovn-central").stopped("ovnnb"):
        assert "ovn-central is unhealthy" in lab.fakevm.fails(5, *argv)
    lab.wait_until_healthy("ovn-central")
    a.ping(b.ip)
    # Neutron goes on with what it was asked for, too.
    wait_until("a port", lambda: lab.fakevm.run(*argv).exit_code == 0)
    assert lab.fakevm.json("cleanup", "--dry-run") == []


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("service", "code", "place"),
    # Neutron binds by the northbound alone; and of what else is away, nobody hears in time.
    [("ovnnb", 5, "compute-2"), ("ovnsb", 6, "compute-1"), ("northd", 6, "compute-1")],
)
def test_what_is_away_while_a_vm_migrates_is_named_and_nothing_is_lost(
    lab: Lab, by_dhcp: tuple[Guest, Guest], service: str, code: int, place: str
) -> None:
    a, b = by_dhcp
    # More than a busy Neutron takes for an answer.
    argv = ("migrate", "--timeout", "10", "compute-1", b.port_id)
    with lab.host("ovn-central").stopped(service):
        assert "ovn-central is unhealthy" in lab.fakevm.fails(code, *argv)
    lab.wait_until_healthy("ovn-central")

    def undone() -> bool:
        # Neutron goes on with what it was asked for, also after what was to undo it.
        lab.fakevm.ok("migrate", "--abort", b.port_id)
        profile = lab.sdk.network.get_port(b.port_id).binding_profile
        return len(lab.bindings(b.port_id)) == 1 and "migrating_to" not in profile

    wait_until("what could not be undone", undone)
    b.assert_wholly_on(place)
    a.ping(b.ip)


@pytest.mark.nightly
def test_what_is_deleted_while_the_southbound_is_away_leaves_nothing_there(
    lab: Lab, by_dhcp: tuple[Guest, Guest]
) -> None:
    _, b = by_dhcp
    query = ("--bare", "--columns=_uuid", "find", "Port_Binding", f"logical_port={b.port_id}")
    assert lab.fakevm.ok("ovn", "sbctl", *query).strip()
    with lab.host("ovn-central").stopped("ovnsb"):
        lab.fakevm.ok("delete-port", b.port_id)
    wait_until("nothing of it", lambda: not lab.fakevm.ok("ovn", "sbctl", *query).strip())
    assert lab.fakevm.json("cleanup", "--dry-run") == []


@pytest.mark.nightly
def test_hosts_that_come_back_with_each_other_s_address(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.84.0.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-2"})
    a.ping(b.ip)
    before = [encap_ip(guest) for guest in (a, b)]
    containers = [guest.host.container for guest in (a, b)]
    underlay = f"fakevm-{lab.name}_underlay"
    docker("stop", *containers)
    for container in containers:
        docker("network", "disconnect", underlay, container)
    for container, address in zip(containers, reversed(before), strict=True):
        docker("network", "connect", "--ip", address, underlay, container)
    # The first comes back while the other one is still away, of whom nobody knows whether it will.
    for guest, address in zip((a, b), reversed(before), strict=True):
        come_back(guest, address)
    a.ping(b.ip)


def come_back(guest: Guest, address: str) -> None:
    """Start the host of a VM, and wait until OVN has it at this address."""
    docker("start", guest.host.container)
    guest.lab.wait_until_healthy(guest.host_name)
    wait_until(f"{guest.host_name} at {address}", lambda: encap_ip(guest) == address)


def encap_ip(guest: Guest) -> str:
    """Return where OVN has the host of a VM."""
    query = ("--bare", "--columns=ip", "find", "Encap", f"chassis_name={guest.host_name}")
    return guest.lab.fakevm.ok("ovn", "sbctl", *query).strip()


def test_ovn_s_programs_end_with_their_own_exit_codes(lab: Lab) -> None:
    assert "switch" not in lab.fakevm.ok("ovn", "nbctl", "lr-list")
    assert lab.fakevm.run("ovn", "nbctl", "no-such-command").exit_code == 1
    status = ("appctl", "-t", "ovn-controller", "connection-status")
    assert lab.fakevm.ok("ovn", "--host", "compute-1", *status).strip() == "connected"
    assert "nbctl" in lab.fakevm.fails(2, "ovn", "dbctl")


def test_what_is_another_backend_s_is_refused(lab: Lab) -> None:
    refused = lab.fakevm.fails(4, "up", "--name", lab.name, "--backend", "ovs")
    assert "ML2/OVN, which stays" in refused
    assert "--backend ovs" in refused


def test_tests_for_another_backend_are_told_which_it_has(lab: Lab, tmp_path: Path) -> None:
    code, said = run_pytest(lab, tmp_path, "--fakevm-backend", "ovs")
    assert code == 1
    assert f"the lab {lab.name!r} has ML2/OVN" in said
    assert "pytest --fakevm-backend ovn" in said
