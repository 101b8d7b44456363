"""fullstack test_dhcp_agent: addresses by DHCP, and its server."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from fakevm import Cloud
from fakevm.errors import WaitTimeoutError
from tests.scenarios.leases import lease, renewed


@pytest.mark.each_change
def test_vms_get_their_addresses(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=["10.1.0.0/24"])
    a, b = cloud.vms("a", "b", networks=[net], addressing="dhcp")
    for vm in (a, b):
        assert f"{vm.addresses[0]}/24" in vm.exec("ip", "-4", "addr", "show", "eth0").stdout
        assert lease(vm, "routers") == "10.1.0.1"
    a.ping(b)


def test_a_subnet_without_dhcp_has_no_server(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=[{"cidr": "10.1.0.0/24", "enable_dhcp": False}])
    vm = cloud.vm("a", networks=[net], addressing="none")
    asked = vm.exec("timeout", "4", "dhclient", "-4", "-d", "-v", "eth0").stderr
    assert "DHCPDISCOVER" in asked
    assert "DHCPOFFER" not in asked


@pytest.mark.fakevm(backend="ovs")
def test_leases_go_on_without_the_agent(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=["10.1.0.0/24"])
    vm = cloud.vm("a", networks=[net], addressing="dhcp")
    with ThreadPoolExecutor() as pool:
        with cloud.lab.stopped("dhcp-agent@network-1"):
            # One that is made meanwhile has its address as soon as the agent is back.
            late = pool.submit(cloud.vm, "late", networks=[net], addressing="dhcp")
            # dnsmasq answers without it.
            said = vm.exec("timeout", "9", "dhclient", "-4", "-1", "-v", "eth0").stderr
            assert f"DHCPACK of {vm.addresses[0]} " in said
        late.result().ping(vm)


@pytest.mark.fakevm(backend="ovs")
@pytest.mark.xfail(
    strict=True,
    raises=WaitTimeoutError,
    reason="scenario X, `moved-dhcp`: the agent ignores updates of its own port"
    " (`DHCPAgent.port_update_end`)",
)
def test_the_server_s_address_changes(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=["10.1.0.0/24"])
    vm = cloud.vm("a", networks=[net], addressing="dhcp")
    neutron = cloud.lab.openstack.network
    (server,) = neutron.ports(network_id=net.id, device_owner="network:dhcp")
    assert lease(vm, "dhcp-server-identifier") == server.fixed_ips[0]["ip_address"]
    neutron.update_port(server, fixed_ips=[{"ip_address": "10.1.0.77"}])
    cloud.lab.wait_for(
        "the new server",
        lambda: renewed(vm, "dhcp-server-identifier") == "10.1.0.77",
        timeout_s=5,
    )
