"""neutron-tempest-plugin test_allowed_address_pair: addresses of a VM's own choice."""

from fakevm import Cloud
from tests.scenarios.pinging import answers
from tests.scenarios.subnets import SUBNET


def test_an_address_of_its_own_choice_needs_a_pair(cloud: Cloud) -> None:
    net = cloud.network("net", subnets=[SUBNET])
    web, client = cloud.vms("web", "client", networks=[net])
    client.ping(web)
    web.exec("ip", "addr", "add", "10.9.0.200/24", "dev", "eth0", check=True)
    assert not answers(client, "10.9.0.200")
    cloud.lab.openstack.network.update_port(
        web.port.id, allowed_address_pairs=[{"ip_address": "10.9.0.200"}]
    )
    cloud.lab.wait_for("the pair is let out", lambda: answers(client, "10.9.0.200"))


def test_a_pair_s_address_moves_from_one_vm_to_another(cloud: Cloud) -> None:
    net = cloud.network("net", subnets=[SUBNET])
    client = cloud.vm("client", networks=[net])
    one, other = cloud.vms("one", "other", networks=[net], allowed_address_pairs=["10.9.0.201"])
    for vm, former in ((one, other), (other, one)):
        former.exec("ip", "addr", "del", "10.9.0.201/24", "dev", "eth0")
        vm.exec("ip", "addr", "add", "10.9.0.201/24", "dev", "eth0", check=True)
        # As keepalived tells who it is now.
        vm.exec("arping", "-c2", "-A", "-I", "eth0", "10.9.0.201")
        cloud.lab.wait_for("it answers", lambda: answers(client, "10.9.0.201"))
