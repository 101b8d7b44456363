"""A router between two networks and outside, as both backends must have it."""

from __future__ import annotations

from tests.integration.cloud import Cloud, Guest


def assert_routed(cloud: Cloud) -> tuple[Guest, str]:
    """Two networks reach each other by a router, and outside by SNAT and a floating IP.

    Return who is outside, and that floating IP.
    """
    one, other = cloud.network(name="one"), cloud.network(name="other")
    subnets = [
        cloud.subnet(network, cidr, enable_dhcp=False)
        for network, cidr in ((one, "10.15.1.0/24"), (other, "10.15.2.0/24"))
    ]
    outside = cloud.network(
        name="outside",
        is_router_external=True,
        provider_network_type="vlan",
        provider_physical_network="physnet1",
        provider_segmentation_id=115,
    )
    # Who is there has no way to the networks inside.
    cloud.subnet(outside, "203.0.113.0/24", enable_dhcp=False, gateway_ip=None)
    a = cloud.guest(one, "a", "compute-1")
    b = cloud.guest(other, "b", "compute-2")
    stranger = cloud.guest(outside, "stranger", "compute-2")
    cloud.router(*subnets, outside=outside)
    a.ping(b.ip)
    # By the router's own address there.
    a.ping(stranger.ip)
    floating_ip = cloud.floating_ip(outside, b.port_id)
    stranger.ping(floating_ip)
    return stranger, floating_ip
