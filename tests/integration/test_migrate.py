"""Live migration by Nova's order of calls, watched from another VM and from both hosts."""

from __future__ import annotations

import pytest

from tests.integration.cloud import Cloud, Guest
from tests.integration.lab import Lab
from tests.integration.traffic import Ping, gaps, is_contiguous
from tests.waiting import wait_until


def test_a_vm_moves_while_it_is_pinged(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.7.0.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-2"})
    with Ping(a.host, a.instance_id, b.ip) as ping:
        lab.migrate("compute-3", b.port_id)
        assert is_contiguous(ping.wait_for_replies(20))
        lost = ping.stop()
    # The guest is away once: one run of requests gets no answer, and none before or after.
    assert len(gaps(lost)) <= 1, lost
    b.assert_wholly_on("compute-3")
    assert lab.sdk.network.get_port(b.port_id).status == "ACTIVE"
    assert b.host.vm_names().isdisjoint({b.instance_id})
    b.ping(a.ip)


@pytest.mark.nightly
def test_all_nics_and_addresses_move(lab: Lab, cloud: Cloud) -> None:
    static = cloud.network(name="static", cidr="10.7.1.0/24")
    dhcp = cloud.network(name="dhcp")
    cloud.subnet(dhcp, "10.7.2.0/24")
    first = cloud.guest(static, "vm", "compute-1")
    second = cloud.guest(dhcp, "vm", "compute-1", addressing="dhcp")
    peer = cloud.guest(static, "peer", "compute-2")
    lab.migrate("compute-2", second.port_id)
    for guest in (first, second):
        guest.assert_wholly_on("compute-2")
    host = lab.host("compute-2")
    for nic, guest in (("eth0", first), ("eth1", second)):
        assert host.addresses(guest.instance_id, nic) == {f"{guest.ip}/24"}
        assert host.links(guest.instance_id)[nic]["address"] == guest.mac_address
    peer.ping(first.ip)

    # And on: nothing of the first journey is in the way. (Back at once is scenario N.)
    lab.migrate("--host", "compute-2", "compute-3", first.port_id)
    for guest in (first, second):
        guest.assert_wholly_on("compute-3")
    peer.ping(first.ip)


@pytest.mark.nightly
def test_migrate_to_the_same_host_or_an_unknown_one_is_refused(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.7.0.0/24")
    a = cloud.guest(network, "a", "compute-1")
    before = lab.sdk.network.get_port(a.port_id).revision_number
    assert "compute-1" in lab.fakevm.fails(4, "migrate", "compute-1", a.port_id)
    assert "compute-3" in lab.fakevm.fails(3, "migrate", "compute-9", a.port_id)
    assert "compute-1" in lab.fakevm.fails(
        4, "migrate", "--host", "compute-2", "compute-3", a.port_id
    )
    assert lab.sdk.network.get_port(a.port_id).revision_number == before
    a.assert_wholly_on("compute-1")


def test_a_destination_without_its_agent_leaves_the_vm_at_the_source(
    lab: Lab, cloud: Cloud
) -> None:
    network = cloud.network(cidr="10.7.0.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-2"})
    with Ping(a.host, a.instance_id, b.ip) as ping:
        with lab.host("compute-3").stopped("fakevm-agent"):
            error = migration_fails(lab, b)
            assert "compute-3" in error
        lost = ping.stop()
    assert lost == []
    b.assert_wholly_on("compute-2")


@pytest.mark.nightly
@pytest.mark.ovs
def test_a_host_without_its_l2_agent_gets_no_vm(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.7.0.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-2"})
    with Ping(a.host, a.instance_id, b.ip) as ping:
        with lab.host("compute-3").stopped("l2-agent"):
            # Until then Neutron binds, and may even tell Nova that the VIF is plugged: by the
            # source's agent, which wires it anew when `migrating_to` is written.
            wait_until("Neutron's word that it is down", lambda: l2_agent(lab) != "alive")
            assert "compute-3" in migration_fails(lab, b)
            b.assert_wholly_on("compute-2")
            before = set(cloud.vifs())
            error = lab.fakevm.fails(4, "create-port", "--host", "compute-3", network, "c")
            assert "compute-3" in error
            assert "down" in error
            assert set(cloud.vifs()) == before
        lost = ping.stop()
    assert lost == []
    # The same commands, now that the agent is well.
    lab.wait_until_alive("compute-3")
    assert l2_agent(lab) == "alive"
    lab.migrate("compute-3", b.port_id)
    b.assert_wholly_on("compute-3")
    a.ping(b.ip)
    cloud.guest(network, "c", "compute-3").ping(b.ip)


def l2_agent(lab: Lab) -> str:
    hosts = lab.fakevm.json("status")["hosts"]
    return str(next(row["l2_agent"] for row in hosts if row["host"] == "compute-3"))


def migration_fails(lab: Lab, guest: Guest) -> str:
    result = lab.fakevm.run("migrate", "--vif-plugging-timeout", "8", "compute-3", guest.port_id)
    assert result.exit_code in (4, 5, 6), f"{result}"
    assert "Traceback" not in result.stderr
    return result.stderr
