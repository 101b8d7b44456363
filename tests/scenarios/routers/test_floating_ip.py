"""neutron-tempest-plugin test_floatingip: addresses outside for VMs inside."""

import pytest

from fakevm import Cloud, Network, Vm
from tests.scenarios.pinging import answers, seen
from tests.scenarios.speed import kbps


@pytest.mark.each_change
def test_a_vm_is_reached_by_it(cloud: Cloud, outside: Network, stranger: Vm, web: Vm) -> None:
    address = cloud.floating_ip(web, network=outside)
    stranger.ping(address, within_s=30)
    stranger.assert_reaches(address, port=80, within_s=30)
    # And so it is seen itself.
    assert seen(web, "203.0.113.9", stranger) == address.address


def test_a_vm_inside_reaches_another_one_by_it(
    cloud: Cloud, inside: Network, outside: Network, web: Vm
) -> None:
    other = cloud.vm("other", networks=[inside])
    address = cloud.floating_ip(web, network=outside)
    other.assert_reaches(address, port=80, within_s=30)


def test_it_moves_to_another_vm(
    cloud: Cloud, inside: Network, outside: Network, stranger: Vm, web: Vm
) -> None:
    spare = cloud.vm("spare", networks=[inside], security_groups=[cloud.name("web")])
    address = cloud.floating_ip(web, network=outside)
    stranger.assert_reaches(address, port=80, within_s=30)
    cloud.lab.openstack.network.update_ip(address.id, port_id=spare.port.id)
    assert address.port.id == spare.port.id
    stranger.assert_reaches(address, port=80, within_s=30)


def test_it_is_taken_away(cloud: Cloud, outside: Network, stranger: Vm, web: Vm) -> None:
    address = cloud.floating_ip(web, network=outside)
    stranger.ping(address, within_s=30)
    cloud.lab.openstack.network.update_ip(address.id, port_id=None)
    cloud.lab.wait_for("silence", lambda: not answers(stranger, address.address))
    # The VM goes outside by its router's address again.
    assert seen(web, "203.0.113.9", stranger) not in ("", address.address)


# With ML2/OVS this takes an extension of the L3 agent, and tc's police action.
@pytest.mark.fakevm(backend="ovn")
def test_a_policy_limits_what_goes_by_it(
    cloud: Cloud, outside: Network, stranger: Vm, web: Vm
) -> None:
    policy = cloud.qos_policy(
        "slow", bandwidth_limit={"egress": {"max_kbps": 2000, "max_burst_kbps": 200}}
    )
    address = cloud.floating_ip(web, network=outside)
    assert kbps(web, stranger) > 10_000
    neutron = cloud.lab.openstack.network
    neutron.update_ip(address.id, qos_policy_id=policy.id)
    cloud.lab.wait_for("the limit", lambda: kbps(web, stranger) < 3000)
    neutron.update_ip(address.id, qos_policy_id=None)
    cloud.lab.wait_for("its end", lambda: kbps(web, stranger) > 10_000)
