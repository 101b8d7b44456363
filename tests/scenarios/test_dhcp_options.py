"""neutron-tempest-plugin test_dhcp, fullstack test_dhcp_agent (MTU): what comes with an address."""

from fakevm import Cloud
from tests.scenarios.leases import lease, renewed


def test_dns_servers_and_host_routes(cloud: Cloud) -> None:
    net = cloud.network(
        "blue",
        subnets=[
            {
                "cidr": "10.1.0.0/24",
                "dns_nameservers": ["10.9.9.9"],
                "host_routes": [{"destination": "10.7.0.0/16", "nexthop": "10.1.0.99"}],
            }
        ],
    )
    vm = cloud.vm("a", networks=[net], addressing="dhcp")
    assert "nameserver 10.9.9.9" in vm.exec("cat", "/etc/resolv.conf").stdout
    assert "10.7.0.0/16 via 10.1.0.99" in vm.exec("ip", "route").stdout


def test_a_port_s_extra_options(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=["10.1.0.0/24"])
    vm = cloud.vm("a", networks=[net], addressing="dhcp")
    options = [{"opt_name": "domain-name", "opt_value": "test.domain"}]
    cloud.lab.openstack.network.update_port(vm.port.id, extra_dhcp_opts=options)
    cloud.lab.wait_for("the domain", lambda: renewed(vm, "domain-name") == "test.domain")


def test_the_lease_has_the_network_s_mtu(cloud: Cloud) -> None:
    net = cloud.network("blue", subnets=["10.1.0.0/24"], mtu=1400)
    vm = cloud.vm("a", networks=[net], addressing="dhcp")
    assert lease(vm, "interface-mtu") == "1400"
    cloud.lab.openstack.network.update_network(net.id, mtu=1300)
    cloud.lab.wait_for("the new MTU", lambda: renewed(vm, "interface-mtu") == "1300")
