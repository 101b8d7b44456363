"""Where a packet goes, and what drops it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.cloud import Cloud
from tests.integration.command import Result
from tests.integration.lab import Lab
from tests.integration.test_security_groups import allow_ping
from tests.waiting import wait_until


def traced(lab: Lab, *argv: str) -> dict[str, Any]:
    """Return what is said of a packet; the exit code is of its verdict."""
    result = lab.fakevm.run("trace", "-f", "json", *argv)
    assert result.exit_code in (0, 1), f"{result}"
    told: dict[str, Any] = result.json()
    assert (result.exit_code == 0) == told["arrives"], f"{result}"
    return told


def verdict(lab: Lab, *argv: str) -> str:
    return str(traced(lab, *argv)["verdict"])


def last_line(result: Result) -> str:
    return result.stdout.splitlines()[-1]


def test_a_packet_is_followed_to_another_host_or_to_who_drops_it(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.75.0.0/24")
    group = cloud.security_group()
    a = cloud.guest(network, "trace-a", "compute-1")
    b = cloud.guest(network, "trace-b", "compute-2", group=group)
    ends = (a.port_id, b.port_id)
    dropped = f"dropped on compute-2 by security group {cloud.prefix}: no ingress rule for"
    assert verdict(lab, *ends) == f"{dropped} icmp from {a.ip}"
    assert last_line(lab.fakevm.run("trace", *ends, "--proto", "tcp", "--port", "80")) == (
        f"{dropped} tcp/80 from {a.ip}"
    )
    rule = allow_ping(lab, group)
    wait_until("the rule is applied", lambda: traced(lab, *ends)["arrives"])
    told = traced(lab, "--live", *ends)
    assert told["verdict"] == f"arrives at trace-b: tap{b.port_id[:11]} on compute-2"
    assert told["sent"]["answers"] == told["sent"]["packets"] == 3
    assert any((hop["packets"] or 0) >= 3 for hop in told["hops"])
    (passed,) = [hop for hop in told["hops"] if hop["rule"] == rule]
    assert (passed["host"], passed["groups"]) == ("compute-2", [group])
    assert [hop for hop in told["hops"] if "compute-2" in hop["what"]], told

    # By the VMs' names; and what stands in its way beside rules.
    lab.fakevm.ok("pause", "trace-b")
    assert verdict(lab, *ends) == "not received: VM trace-b is paused, on compute-2"
    lab.fakevm.ok("resume", "trace-b")
    lab.fakevm.ok("cut", "compute-1", "compute-2")
    try:
        assert "link is cut" in verdict(lab, *ends)
    finally:
        lab.fakevm.ok("cut", "--undo", "compute-1", "compute-2")
    lab.fakevm.ok("unplug", b.port_id)
    assert f"{b.port_id} is not plugged on compute-2" in verdict(lab, *ends)
    assert "not sent" in verdict(lab, b.port_id, a.port_id)
    assert "both ends are port" in lab.fakevm.fails(2, "trace", a.port_id, a.port_id)
    assert "nobody" in lab.fakevm.fails(3, "trace", a.port_id, "nobody")
    assert "--port" in lab.fakevm.fails(2, "trace", *ends, "--proto", "tcp")


@pytest.mark.nightly
def test_a_packet_is_followed_through_a_router(lab: Lab, cloud: Cloud) -> None:
    one, other = cloud.network(name="one"), cloud.network(name="other")
    subnets = [
        cloud.subnet(network, cidr, enable_dhcp=False)
        for network, cidr in ((one, "10.76.1.0/24"), (other, "10.76.2.0/24"))
    ]
    a = cloud.guest(one, "routed-a", "compute-1")
    b = cloud.guest(other, "routed-b", "compute-2")
    assert "no router of Neutron's" in verdict(lab, a.port_id, b.port_id)
    cloud.router(*subnets)
    a.ping(b.ip)
    told = traced(lab, a.port_id, b.port_id)
    assert told["arrives"], told
    assert [hop for hop in told["hops"] if hop["where"].startswith("router ")], told


@pytest.mark.nightly
def test_a_packet_between_vlans_is_followed_by_the_gateway_s_host(lab: Lab, cloud: Cloud) -> None:
    one, other, outside = (
        cloud.network(
            name=name,
            provider_network_type="vlan",
            provider_physical_network="physnet1",
            provider_segmentation_id=tag,
            is_router_external=name == "outside",
        )
        for name, tag in (("one", 176), ("other", 177), ("outside", 178))
    )
    cloud.subnet(outside, "203.0.113.0/24", enable_dhcp=False)
    subnets = [
        cloud.subnet(network, cidr, enable_dhcp=False)
        for network, cidr in ((one, "10.77.1.0/24"), (other, "10.77.2.0/24"))
    ]
    a = cloud.guest(one, "vlan-a", "compute-1")
    b = cloud.guest(other, "vlan-b", "compute-2")
    cloud.router(*subnets, outside=outside)
    a.ping(b.ip)
    told = traced(lab, a.port_id, b.port_id)
    assert told["arrives"], told
    hosts = list(dict.fromkeys(hop["host"] for hop in told["hops"] if hop["host"]))
    assert sorted(hosts) == ["compute-1", "compute-2", "network-1"], told


@pytest.mark.nightly
def test_a_packet_of_ipv6_is_followed_on_one_host(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network()
    cloud.subnet(network, "2001:db8:75::/64", enable_dhcp=False)
    a = cloud.guest(network, "six-a", "compute-3")
    b = cloud.guest(network, "six-b", "compute-3", group=cloud.security_group())
    assert f"no ingress rule for icmp from {a.ip}" in verdict(lab, a.port_id, b.port_id)
    assert traced(lab, b.port_id, a.port_id)["arrives"]
