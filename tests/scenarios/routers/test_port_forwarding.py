"""neutron-tempest-plugin test_port_forwardings: ports of one address outside, for several VMs."""

import pytest

from fakevm import Cloud, Network, Vm


# With ML2/OVS this takes a service plug-in and an extension of the L3 agent.
@pytest.mark.fakevm(backend="ovn")
def test_ports_are_forwarded_to_two_vms(
    cloud: Cloud, inside: Network, outside: Network, stranger: Vm, web: Vm
) -> None:
    neutron = cloud.lab.openstack.network
    spare = cloud.vm("spare", networks=[inside], security_groups=[cloud.name("web")])
    address = neutron.create_ip(floating_network_id=outside.id)
    made = [
        neutron.create_floating_ip_port_forwarding(
            address,
            internal_port_id=vm.port.id,
            internal_ip_address=vm.addresses[0],
            internal_port=80,
            external_port=port,
            protocol="tcp",
        )
        for port, vm in ((8001, web), (8002, spare))
    ]
    there = address.floating_ip_address
    for vm in (web, spare):
        vm.exec(
            "sh",
            "-c",
            f"timeout 30 socat TCP-LISTEN:80,fork SYSTEM:'echo {vm.name}' >/dev/null 2>&1 &",
        )

    def said(port: int) -> str:
        ask = ("socat", "-u", f"TCP:{there}:{port},connect-timeout=2", "-")
        return stranger.exec(*ask).stdout.strip()

    cloud.lab.wait_for("the first VM", lambda: said(8001) == web.name)
    cloud.lab.wait_for("the second VM", lambda: said(8002) == spare.name)
    neutron.delete_floating_ip_port_forwarding(address, made[0])
    cloud.lab.wait_for("the first one's end", lambda: said(8001) == "")
    assert said(8002) == spare.name
    neutron.delete_floating_ip_port_forwarding(address, made[1])
    neutron.delete_ip(address)
