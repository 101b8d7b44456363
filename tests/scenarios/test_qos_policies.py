"""fullstack test_qos (default policies, minimum bandwidth): what policies may be."""

import pytest
from openstack.exceptions import ConflictException

from fakevm import Cloud


def test_a_project_s_default_policy(cloud: Cloud) -> None:
    neutron, project = cloud.lab.openstack.network, cloud.name("project")
    mine = {"name": cloud.name("default"), "project_id": project}
    policy = neutron.create_qos_policy(is_default=True, **mine)
    with pytest.raises(ConflictException):
        neutron.create_qos_policy(is_default=True, **mine)
    # A network of the project has it, another one has not.
    theirs = neutron.create_network(**mine)
    assert theirs.qos_policy_id == policy.id
    assert cloud.network("other").attributes["qos_policy_id"] is None
    neutron.update_network(theirs, qos_policy_id=None)
    neutron.delete_network(theirs)
    neutron.delete_qos_policy(policy)


@pytest.mark.each_change
def test_a_minimum_bandwidth_is_kept_and_a_policy_in_use_stays(cloud: Cloud) -> None:
    net = cloud.network("blue")
    policy, neutron = cloud.qos_policy("at-least"), cloud.lab.openstack.network
    rule = neutron.create_qos_minimum_bandwidth_rule(policy.id, min_kbps=300, direction="egress")
    neutron.update_qos_minimum_bandwidth_rule(rule.id, policy.id, min_kbps=200)
    (found,) = policy.attributes["rules"]
    assert (found["type"], found["min_kbps"]) == ("minimum_bandwidth", 200)
    neutron.delete_qos_minimum_bandwidth_rule(rule.id, policy.id)
    assert policy.attributes["rules"] == []
    neutron.update_network(net.id, qos_policy_id=policy.id)
    with pytest.raises(ConflictException):
        neutron.delete_qos_policy(policy.id)
    neutron.update_network(net.id, qos_policy_id=None)
