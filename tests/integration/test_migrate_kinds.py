"""Cold migration, evacuation, post-copy, and the switches for what goes wrong in the field."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cloud import Cloud, Guest
from tests.integration.hosts import docker
from tests.integration.lab import Lab
from tests.integration.traffic import Ping, gaps
from tests.waiting import wait_until

# A frame's sender, as tcpdump -e tells it.
RARP = re.compile(r"(\S+) > ff:ff:ff:ff:ff:ff, ethertype Reverse ARP")


@pytest.mark.nightly
def test_a_cold_migration_boots_the_vm_on_the_other_host(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network()
    cloud.subnet(network, "10.71.0.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-2"}, addressing="dhcp")
    b.exec("ip", "address", "add", "192.0.2.7/24", "dev", "eth0")
    report = lab.fakevm.json("migrate", "--cold", "compute-3", b.port_id)
    assert names(report)[:4] == ["unplug", "look for a binding", "bind", "plug"]
    b.assert_wholly_on("compute-3")
    # It booted: what was set by hand is gone.
    assert lab.host("compute-3").addresses(b.instance_id) == {f"{b.ip}/24"}
    a.ping(b.ip)

    error = lab.fakevm.fails(1, "migrate", "--cold", "--fail-at", "plug", "compute-2", b.port_id)
    assert "plug" in error
    b.assert_wholly_on("compute-3")
    assert lab.host("compute-3").addresses(b.instance_id) == {f"{b.ip}/24"}
    a.ping(b.ip)


@pytest.mark.nightly
def test_a_host_that_returns_leaves_evacuated_vms_alone(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.71.1.0/24")
    a, b, stays = cloud.guests(network, {"a": "compute-1", "b": "compute-2", "stays": "compute-2"})
    assert "--force" in lab.fakevm.fails(4, "migrate", "--evacuate", "compute-3", b.port_id)
    source = lab.host("compute-2")
    docker("kill", source.container)
    try:
        before = lab.sdk.network.get_port(b.port_id).revision_number
        assert "--evacuate" in lab.fakevm.fails(5, "migrate", "compute-3", b.port_id)
        assert "docker start" in lab.fakevm.fails(5, "migrate", "compute-2", a.port_id)
        assert lab.sdk.network.get_port(b.port_id).revision_number == before
        lab.fakevm.ok("migrate", "--evacuate", "compute-3", b.port_id)
        a.ping(b.ip)
    finally:
        docker("start", source.container)
    lab.wait_until_healthy("compute-2")

    wait_until("the other VM", lambda: stays.instance_id in source.vm_names())
    wait_until("no leftover", lambda: b.port_id not in source.interfaces())
    b.assert_wholly_on("compute-3")
    a.ping(b.ip)
    a.ping(stays.ip)
    # No host could tell whose its port is.
    lab.fakevm.ok("delete-vm", b.instance_id)
    assert lab.sdk.network.find_port(b.port_id) is None


@pytest.mark.nightly
def test_a_vm_of_a_host_that_is_cut_off_is_evacuated_by_force(lab: Lab, cloud: Cloud) -> None:
    """Its fakevm-agent only starts anew, and ends what runs there."""
    network = cloud.network(cidr="10.71.2.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-2"})
    lab.fakevm.ok("migrate", "--evacuate", "--force", "compute-3", b.port_id)
    source = lab.host("compute-2")
    assert b.instance_id in source.vm_names()
    assert "compute-2" in lab.fakevm.ok("list")
    source.run("s6-svc", "-r", "/run/services/fakevm-agent")
    wait_until("no leftover", lambda: b.instance_id not in source.vm_names())
    b.assert_wholly_on("compute-3")
    a.ping(b.ip)


@pytest.mark.nightly
def test_a_post_copied_vm_runs_before_its_binding_is_active(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.71.3.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-2"})
    with Ping(a.host, a.instance_id, b.ip) as ping:
        report = lab.fakevm.json("migrate", "--post-copy", "compute-3", b.port_id)
        ping.wait_for_replies(5)
        lost = ping.stop()
    order = names(report)
    assert order.index("pause") < order.index("resume") < order.index("activate")
    assert report["moments"]["resumed"] < report["moments"]["activated"]
    assert len(gaps(lost)) <= 1, lost
    b.assert_wholly_on("compute-3")


@pytest.mark.nightly
def test_the_field_s_faults_can_be_had(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.71.4.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-2"})
    with sniffing(a) as seen:
        # To the sniffer's own host: between hosts l2population opens the way too late for some.
        lab.migrate("--no-rarp", "compute-1", b.port_id)
        assert seen() == []
        # Not back at once, which is scenario N.
        lab.migrate("--late-tap", "compute-3", b.port_id)
        b.assert_wholly_on("compute-3")
        a.ping(b.ip)
        before = len(seen())
        lab.migrate("compute-1", b.port_id)
        wait_until("its RARP", lambda: len(seen()) > before)
        assert set(seen()) == {b.mac_address}


@pytest.mark.nightly
@pytest.mark.ovs
def test_without_the_profile_s_word_nova_waits_in_vain(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.71.7.0/24")
    a, b = cloud.guests(network, {"a": "compute-2", "b": "compute-1"})
    # The L2 agent does not wire the VIF.
    faulty = ("migrate", "--no-migrating-to", "--vif-plugging-timeout", "4", "compute-2", b.port_id)
    assert b.port_id in lab.fakevm.fails(6, *faulty)
    b.assert_wholly_on("compute-1")
    report = lab.fakevm.json("migrate", "--no-migrating-to", "--skip-wait", "compute-2", b.port_id)
    assert all("migrating_to" not in request["body"] for request in report["requests"])
    b.assert_wholly_on("compute-2")
    a.ping(b.ip)


@pytest.mark.nightly
def test_all_that_a_guest_has_moves_but_for_its_processes(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(name="static", cidr="10.71.5.0/24")
    dhcp = cloud.network(name="dhcp")
    cloud.subnet(dhcp, "10.71.6.0/24")
    vm = cloud.guest(network, "vm", "compute-1")
    leased = cloud.guest(dhcp, "vm", "compute-1", addressing="dhcp")
    vm.exec("sh", "-ec", BY_HAND)
    before = vm.exec("sh", "-ec", LOOK)
    for word in ("192.0.2.7/24", "203.0.113.0/24", "02:00:00:00:00:09", "arp_ignore = 1"):
        assert word in before
    # They have not been touched by the boot.
    report = lab.fakevm.json("migrate", "compute-3", vm.port_id)
    assert "sleep 3600" in report["processes"].values()
    for guest in (vm, leased):
        guest.assert_wholly_on("compute-3")
    assert vm.exec("sh", "-ec", LOOK) == before
    assert leased.ip in leased.exec("cat", "/var/lib/dhcp/dhclient.eth1.leases")
    # The client goes on with its lease and does not ask for another.
    log = f"/run/fakevm/vms/{vm.instance_id}/log/dhclient.eth1"
    said = lab.host("compute-3").run("cat", log)
    assert "DHCPREQUEST" in said
    assert "DHCPDISCOVER" not in said


BY_HAND = """
ip address add 192.0.2.7/24 dev eth0
ip route add 203.0.113.0/24 via 192.0.2.1
ip neighbour add 192.0.2.9 lladdr 02:00:00:00:00:09 dev eth0
sysctl -qw net.ipv4.conf.eth0.arp_ignore=1
setsid sleep 3600 >/dev/null 2>&1 </dev/null &
"""
LOOK = """
ip -o address show scope global | awk '{print $2, $4}'
ip route show
ip neighbour show nud permanent
sysctl net.ipv4.conf.eth0.arp_ignore
cat /etc/resolv.conf
"""


def names(report: dict[str, Any]) -> list[str]:
    return [step["name"] for step in report["steps"]]


@contextmanager
def sniffing(guest: Guest) -> Iterator[Callable[[], list[str]]]:
    """Sniff RARP at a VM's NIC; what is given tells the senders' MACs so far."""
    sniff = f"ip netns exec {guest.instance_id} tcpdump -Z root -lne -i eth0 rarp"
    with tempfile.NamedTemporaryFile("r") as file:
        text = Path(file.name).read_text
        with Path(file.name).open("w") as output:
            process = subprocess.Popen(
                ("docker", "exec", guest.host.container, "sh", "-c", f"echo $$; exec {sniff} 2>&1"),
                stdout=output,
            )
        try:
            wait_until("tcpdump", lambda: "listening" in text())
            yield lambda: RARP.findall(text())
        finally:
            guest.host.run("kill", text().split()[0], check=False)
            process.wait(timeout=30)
