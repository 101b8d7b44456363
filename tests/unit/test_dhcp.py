"""A VM gets no address by DHCP: what is asked of the DHCP agents then, and said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakevm.errors import UnavailableError, WaitTimeoutError
from fakevm.inventory import dhcp
from fakevm.inventory.dhcp import DhcpServer, serves, words
from fakevm.lab import Lab
from fakevm.model import FixedIp, PluggedVif
from fakevm.vms.requests import PortRequest
from tests.unit.conftest import World

REQUEST = PortRequest(network="net", instance="vm", host="compute-1")
MAC = "fa:16:3e:f1:4c:a1"
# As Neutron's agent writes it for a port with an IPv4 address and one by DHCPv6.
HOSTS = f"""\
fa:16:3e:00:00:01,host-192-0-2-2.openstacklocal,192.0.2.2
{MAC},host-192-0-2-13.openstacklocal,192.0.2.13
{MAC},tag:dhcpv6,host-2001-db8--13.openstacklocal,[2001:db8::13],set:port-c94de6bb
"""


def make_vif(*addresses: str, **methods: str) -> PluggedVif:
    fixed = {"v4": ("192.0.2.13", 24), "v6": ("2001:db8::13", 64)}
    ips = tuple(
        FixedIp(
            ip_address=fixed[key][0],
            subnet_id=key,
            prefix_len=fixed[key][1],
            gateway_ip=None,
            method=method,  # type: ignore[arg-type]
        )
        for key, method in methods.items()
    )
    return PluggedVif(
        port_id="port",
        instance_id="vm",
        vm_name="vm",
        netns="vm",
        nic="eth0",
        device="tap",
        mac_address=MAC,
        mtu=1450,
        ofport=1,
        addresses=addresses,
        fixed_ips=ips,
    )


def make_server(
    host: str = "network-1",
    *,
    alive: bool = True,
    has_network: bool = True,
    has_port: bool = False,
) -> DhcpServer:
    return DhcpServer(host=host, alive=alive, has_network=has_network, has_port=has_port)


def test_a_port_is_found_among_dnsmasqs_hosts_by_its_mac() -> None:
    assert serves(HOSTS, MAC)
    assert not serves(HOSTS, "fa:16:3e:00:00:02")
    assert not serves("", MAC)


def test_an_address_is_missed_that_a_dhcp_agent_would_give() -> None:
    assert dhcp.missing(make_vif(v4="dhcp"))
    assert dhcp.missing(make_vif("192.0.2.13/24", v4="dhcp", v6="dhcpv6"))
    assert not dhcp.missing(make_vif("192.0.2.13/24", "2001:db8::13/128", v4="dhcp", v6="dhcpv6"))
    assert not dhcp.missing(make_vif("192.0.2.13/24", v4="dhcp", v6="slaac"))
    assert not dhcp.missing(make_vif(v4="none"))


def test_who_serves_a_port_is_said() -> None:
    assert words([]) == "no DHCP agent has the network"
    assert words([make_server()]) == "the DHCP agent of network-1 does not have this port"
    no_network = make_server(has_network=False)
    assert words([no_network]) == "the DHCP agent of network-1 does not have this network"
    assert words([make_server(has_port=True)]) == "the DHCP agent of network-1 has this port"
    two = [make_server(alive=False), make_server("network-2", has_port=True)]
    assert words(two) == (
        "the DHCP agent of network-1 does not have this port, and is not alive;"
        " the DHCP agent of network-2 has this port"
    )


def no_address(world: World) -> None:
    world.hosts["compute-1"].broken["configure"] = WaitTimeoutError("none", hint="dhclient")


def test_a_dhcp_agent_that_does_not_have_the_port_is_named_with_what_mends_it(
    lab: Lab, world: World
) -> None:
    no_address(world)
    (network,) = world.neutron.networks.values()
    path = dhcp.HOSTS_FILE.format(network_id=network.id)
    for hosts, what in ((None, "network"), ("", "port")):
        if hosts is not None:
            world.engine.files["network-1", path] = hosts
        with pytest.raises(WaitTimeoutError) as caught:
            lab.create_port(REQUEST, timeout_s=5)
        told = f"the DHCP agent of network-1 does not have this {what}"
        assert str(caught.value) == f"{told}: compute-1: none"
    restart = "docker exec fakevm-network-1-1 s6-svc -r /run/services/dhcp-agent"
    assert caught.value.hint == restart
    assert world.neutron.ports_by_id == {}


def test_of_one_that_has_the_port_the_clients_hint_stays(lab: Lab, world: World) -> None:
    no_address(world)
    (network,) = world.neutron.networks.values()
    path = dhcp.HOSTS_FILE.format(network_id=network.id)
    world.engine.files["network-1", path] = "fa:16:3e:00:00:01,host,10.0.1.101\n"
    with pytest.raises(WaitTimeoutError, match="network-1 has this port: ") as caught:
        lab.create_port(REQUEST, timeout_s=5)
    assert caught.value.hint == "dhclient"


def test_that_nobody_can_be_asked_hides_no_error(lab: Lab, world: World) -> None:
    no_address(world)
    world.neutron.broken["dhcp_agents"] = UnavailableError("Neutron does not answer")
    with pytest.raises(WaitTimeoutError, match=r"^compute-1: none") as caught:
        lab.create_port(REQUEST, timeout_s=5)
    (note,) = caught.value.__notes__
    assert note == "and the DHCP agents could not be asked: Neutron does not answer"


def test_nobody_is_asked_where_no_address_comes_by_dhcp(lab: Lab, world: World) -> None:
    no_address(world)
    with pytest.raises(WaitTimeoutError, match=r"^compute-1: none"):
        lab.create_port(replace(REQUEST, addressing="static"), timeout_s=5)
