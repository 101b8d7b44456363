"""What restarts in a lab heals by itself, and what need not be lost is not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.cloud import Cloud, Guest
from tests.integration.hosts import docker
from tests.integration.lab import COMPUTES, Lab
from tests.integration.traffic import Ping
from tests.waiting import wait_until


def test_an_agent_s_restart_loses_no_packet(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.6.0.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-2"})
    host = a.host
    before = host.links(a.instance_id), host.interfaces()[a.port_id]
    pid = host.service_pid("fakevm-agent")
    with Ping(host, a.instance_id, b.ip) as ping:
        ping.wait_for_replies(5)
        host.run("kill", "-KILL", str(pid))
        wait_until("another fakevm-agent", lambda: host.service_pid("fakevm-agent") not in (0, pid))
        command = ("exec", a.port_id, "--", "true")
        wait_until("its answer", lambda: lab.fakevm.run(*command).exit_code == 0)
        ping.wait_for_replies(10)
        lost = ping.stop()
    assert lost == []
    assert _shape(*before) == _shape(host.links(a.instance_id), host.interfaces()[a.port_id])


@pytest.mark.nightly
@pytest.mark.ovs
def test_l2_agents_begin_anew_and_vms_keep_their_network(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.6.4.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-2"})
    before = {name: host.service_pid("l2-agent") for name, host in lab.hosts().items()}
    with Ping(a.host, a.instance_id, b.ip) as ping:
        ping.wait_for_replies(5)
        done = lab.fakevm.json("restart", "--only", "l2-agent")
        assert {row["service"] for row in done} == {"network-1", *COMPUTES}
        assert all(row["processes"] == ["l2-agent"] for row in done)
        ping.wait_for_replies(10)
        lost = ping.stop()
    # As Neutron promises: drop_flows_on_start is false, and flows of an earlier life go last.
    assert lost == []
    for name, host in lab.hosts().items():
        assert host.service_pid("l2-agent") not in (0, before[name])
    # What has begun anew does its work.
    c = cloud.guest(network, "c", "compute-3")
    a.ping(c.ip)
    argv = ("restart", "--only", "l3", "compute-1")
    assert "no process 'l3' in compute-1" in lab.fakevm.fails(3, *argv)


@pytest.mark.nightly
@pytest.mark.ovs
def test_all_of_a_host_s_agents_begin_anew_but_what_was_stopped(lab: Lab) -> None:
    host = lab.host("network-1")
    agents = ("dhcp-agent", "l2-agent", "l3-agent", "metadata-agent")

    def pids() -> dict[str, int]:
        return {name: host.service_pid(name) for name in agents}

    before = pids()
    (done,) = lab.fakevm.json("restart", "network-1")
    assert sorted(done["processes"]) == sorted(agents)
    after = pids()
    assert all(after[name] not in (0, before[name]) for name in agents)
    (done,) = lab.fakevm.json("restart", "network-1", "--only", "l3-agent")
    assert done["processes"] == ["l3-agent"]
    assert {name for name, pid in pids().items() if pid != after[name]} == {"l3-agent"}
    # Neutron has heard of its start, which a report of its former life does not tell.
    (agent,) = lab.sdk.network.agents(host="network-1", binary="neutron-l3-agent")
    ordered = host.run("cat", "/run/fakevm/started-l3-agent").strip()
    assert ordered <= agent.started_at
    lab.fakevm.ok("stop", "l3-agent@network-1")
    try:
        (done,) = lab.fakevm.json("restart", "network-1")
        assert sorted(done["processes"]) == ["dhcp-agent", "l2-agent", "metadata-agent"]
        assert host.service_pid("l3-agent") == 0
    finally:
        lab.fakevm.ok("start", "l3-agent@network-1")
    lab.wait_until_healthy("network-1")


def test_a_host_s_restart_brings_its_vms_back(lab: Lab, cloud: Cloud) -> None:
    static = cloud.network(name="static", cidr="10.6.1.0/24")
    dhcp = cloud.network(name="dhcp")
    cloud.subnet(dhcp, "10.6.2.0/24")
    a = cloud.guest(static, "a", "compute-1")
    b = cloud.guest(static, "b", "compute-2")
    b2 = cloud.guest(dhcp, "b", "compute-2", addressing="dhcp")
    docker("restart", "--time", "5", b.host.container)
    lab.wait_until_healthy("compute-2")

    host = lab.host("compute-2")
    wait_until("the VM", lambda: b.instance_id in host.vm_names())
    wait_until(
        "its addresses",
        lambda: (
            host.addresses(b.instance_id, "eth0") == {f"{b.ip}/24"}
            and host.addresses(b.instance_id, "eth1") == {f"{b2.ip}/24"}
        ),
    )
    links = host.links(b.instance_id)
    assert [links[nic]["address"] for nic in ("eth0", "eth1")] == [b.mac_address, b2.mac_address]
    wait_until_active(lab, b, b2)
    a.ping(b.ip)
    b.ping(a.ip)


@pytest.mark.nightly
def test_a_vswitchd_s_restart_brings_the_network_back(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.6.3.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-2"})
    with Ping(a.host, a.instance_id, b.ip) as ping:
        host = b.host
        pid = host.service_pid("ovs-vswitchd")
        host.run("kill", "-KILL", str(pid))
        wait_until("another ovs-vswitchd", lambda: host.service_pid("ovs-vswitchd") not in (0, pid))
        ping.wait_for_replies(20)
        assert host.interfaces()[b.port_id]["ofport"] > 0


@pytest.mark.nightly
@pytest.mark.ovs
def test_rabbitmq_s_restart_heals_by_itself(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.6.4.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-2"})
    with Ping(a.host, a.instance_id, b.ip) as ping:
        docker("restart", "--time", "5", lab.host("rabbitmq").container)
        lab.wait_until_healthy()
        lab.wait_until_alive(*COMPUTES, "network-1")
        # A new port goes the whole way: API, RPC, both agents.
        c = cloud.guest(network, "c", "compute-3")
        c.ping(a.ip)
        lost = ping.stop()
    assert lost == []


def wait_until_active(lab: Lab, *guests: Guest) -> None:
    def statuses() -> set[str]:
        return {lab.sdk.network.get_port(guest.port_id).status for guest in guests}

    wait_until(f"{guests} ACTIVE", lambda: statuses() == {"ACTIVE"})


def _shape(links: dict[str, dict[str, Any]], interface: dict[str, Any]) -> object:
    return (
        {name: (link["ifindex"], link["address"]) for name, link in links.items()},
        interface["ofport"],
        interface["external_ids"],
    )
