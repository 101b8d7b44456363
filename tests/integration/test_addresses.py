"""How a VM comes by its addresses: DHCP, static, SLAAC, DHCPv6; each is Neutron's fixed IP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.cloud import Cloud, Guest
from tests.integration.lab import Lab


def test_dhcp_gives_the_fixed_ip(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network()
    cloud.subnet(network, "10.2.0.0/24")
    a = cloud.guest(network, "a", "compute-1", addressing="dhcp")
    b = cloud.guest(network, "b", "compute-2", addressing="dhcp")
    for guest in (a, b):
        assert guest.host.addresses(guest.instance_id) == {f"{guest.ip}/24"}
        assert len(guest.host.processes("dh", guest.port_id[:11])) <= 2
    a.ping(b.ip)

    out = lab.fakevm.run("exec", a.port_id, "dhclient -4 -v eth0")
    assert out.exit_code == 0, f"{out}"
    assert f"bound to {a.ip}" in out.stdout + out.stderr

    lab.fakevm.ok("delete-port", a.port_id)
    assert a.host.processes("dhc", a.instance_id) == []
    assert a.host.processes("dhc", a.port_id) == []


@pytest.mark.nightly
def test_static_and_none(cloud: Cloud) -> None:
    network = cloud.network(cidr="10.2.0.0/24")
    cloud.subnet(network, "fd00:2::/64", enable_dhcp=False)
    static = cloud.guest(network, "static", "compute-1", addressing="static")
    none = cloud.guest(network, "none", "compute-1", addressing="none")
    assert static.host.addresses(static.instance_id) == {
        f"{ip}/{64 if ':' in ip else 24}" for ip in static.ips
    }
    assert len(static.ips) == 2
    assert none.host.addresses(none.instance_id) == set()


@pytest.mark.nightly
def test_ipv6_by_router_advertisement_and_by_dhcpv6(lab: Lab, cloud: Cloud) -> None:
    slaac = cloud.network(name="slaac")
    stateful = cloud.network(name="stateful")
    router = cloud.router(
        cloud.subnet(slaac, "fd00:3::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac"),
        cloud.subnet(
            stateful,
            "fd00:4::/64",
            ipv6_ra_mode="dhcpv6-stateful",
            ipv6_address_mode="dhcpv6-stateful",
        ),
    )
    assert router
    a = cloud.guest(slaac, "a", "compute-1", addressing="dhcp")
    b = cloud.guest(stateful, "b", "compute-2", addressing="dhcp")
    assert a.ip in bare(a)
    assert b.ip in bare(b)
    # Through the router, from one subnet to the other.
    a.ping(b.ip)
    b.ping(a.ip)

    # The guest's leases are gone, and the server has its own: it must know the guest again.
    lab.fakevm.ok("unplug", b.port_id)
    lab.fakevm.ok("plug", b.port_id)
    assert b.ip in bare(b)
    b.ping(a.ip)


@pytest.mark.nightly
def test_two_nics_on_two_networks(lab: Lab, cloud: Cloud) -> None:
    first = cloud.network(name="first", cidr="10.2.1.0/24")
    second = cloud.network(name="second", cidr="10.2.2.0/24")
    for instance, host in (("a", "compute-1"), ("b", "compute-2")):
        for network in (first, second):
            cloud.guest(network, instance, host)
    a1, b1, a2, b2 = (
        next(g for g in _guests(lab, network) if g["vm_name"] == name)
        for network in (first, second)
        for name in ("a", "b")
    )
    assert a1["instance_id"] == a2["instance_id"]
    assert (a1["nic"], a2["nic"]) == ("eth0", "eth1")
    for source, nic, target in ((a1, "eth0", b1), (a2, "eth1", b2)):
        address = target["fixed_ips"][0]["ip_address"]
        lab.fakevm.ok(
            "exec", source["port_id"], "--", "ping", "-I", nic, "-c", "3", "-w", "20", address
        )


def bare(guest: Guest) -> set[str]:
    return {a.split("/")[0] for a in guest.host.addresses(guest.instance_id)}


def _guests(lab: Lab, network: str) -> list[dict[str, Any]]:
    return [row for row in lab.fakevm.json("list") if row["network_id"] == network]


@pytest.mark.nightly
@pytest.mark.ovs
def test_a_dhcp_agent_that_does_not_have_the_port_is_told(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network()
    cloud.subnet(network, "10.2.3.0/24")
    cloud.guest(network, "has-one", "compute-1", addressing="dhcp")
    vm = ("create-port", "--address", "dhcp", "--host", "compute-1", network, f"{cloud.prefix}-vm")
    with lab.host("network-1").stopped("dhcp-agent"):
        result = lab.fakevm.run(*vm, "--timeout", "4")
    assert result.exit_code == 6, f"{result}"
    assert "the DHCP agent of network-1 does not have this port" in result.stderr
    # The client's own words stay, each once.
    assert result.stderr.count("DHCPDISCOVER") == 1
    assert "s6-svc -r /run/services/dhcp-agent" in result.stderr
