"""Security groups as Neutron's agent enforces them in the lab."""

from __future__ import annotations

import pytest

from tests.integration.cloud import Cloud
from tests.integration.lab import Lab
from tests.integration.traffic import Ping


@pytest.mark.nightly
def test_a_rule_taken_away_stops_an_established_ping(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.4.0.0/24")
    group = cloud.security_group()
    outside = cloud.guest(network, "outside", "compute-1")
    inside = cloud.guest(network, "inside", "compute-2", group=group)
    outside.cannot_ping(inside.ip)

    rule = allow_ping(lab, group)
    with Ping(outside.host, outside.instance_id, inside.ip) as ping:
        ping.wait_for_replies(5)
        lab.sdk.network.delete_security_group_rule(rule)
        ping.wait_for_silence()
        outside.cannot_ping(inside.ip)
    # The driver marked the old flow in conntrack, where it stays refused; a new one is let in.
    allow_ping(lab, group)
    outside.ping(inside.ip)


@pytest.mark.nightly
def test_port_security_off_lets_everything_in(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.4.0.0/24")
    sender, guarded = cloud.guests(network, {"sender": "compute-1", "open": "compute-2"})
    sender.ping(guarded.ip)
    group = cloud.security_group()

    with Ping(sender.host, sender.instance_id, guarded.ip) as ping:
        lab.sdk.network.update_port(
            guarded.port_id, port_security_enabled=True, security_groups=[group]
        )
        ping.wait_for_silence()
        lab.sdk.network.update_port(
            guarded.port_id, security_groups=[], port_security_enabled=False
        )
        ping.wait_for_replies(5)


def allow_ping(lab: Lab, group: str) -> str:
    rule = lab.sdk.network.create_security_group_rule(
        security_group_id=group, direction="ingress", ether_type="IPv4", protocol="icmp"
    )
    return str(rule.id)
