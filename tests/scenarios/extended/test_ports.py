"""fullstack test_ports_rebind, test_ports_api, test_ports_binding: ports, and agents back again."""

from typing import Any

import pytest

from fakevm import Cloud


@pytest.mark.fakevm(backend="ovs")
def test_a_port_is_bound_when_the_agent_comes_back(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("net", subnets=["20.0.0.0/24"])
    vm = cloud.vm("vm", on="compute-2", networks=[net])
    before = sdk.get_port(vm.port.id)
    (agent,) = sdk.agents(host="compute-2", binary="neutron-openvswitch-agent")
    with cloud.lab.stopped("l2-agent@compute-2"):
        cloud.lab.wait_for("the agent is dead", lambda: not sdk.get_agent(agent).is_alive)
        late = sdk.create_port(
            name=cloud.name("late"), network_id=net.id, binding_host_id="compute-2"
        )
        assert late.binding_vif_type == "binding_failed"
        # What was there before is left alone.
        assert sdk.get_port(vm.port.id).revision_number == before.revision_number
    cloud.lab.wait_for("the port is bound", lambda: sdk.get_port(late.id).binding_vif_type == "ovs")


@pytest.mark.fakevm(backend="ovs")
def test_an_agent_of_smart_nics_binds_one(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("net")
    port = sdk.create_port(
        name=cloud.name("port"),
        network_id=net.id,
        binding_host_id="compute-1",
        binding_vnic_type="smart-nic",
        binding_profile={"local_link_information": [{"port_id": "p", "hostname": "compute-1"}]},
    )
    assert port.binding_vif_type == "ovs"


@pytest.mark.parametrize("words", [{}, {"propagate_uplink_status": False}], ids=["unsaid", "no"])
def test_whether_the_uplink_s_state_is_propagated(cloud: Cloud, words: dict[str, Any]) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("net")
    port = sdk.create_port(name=cloud.name("port"), network_id=net.id, **words)
    wanted = words.get("propagate_uplink_status", True)
    (listed,) = sdk.ports(id=port.id)
    assert port.propagate_uplink_status == listed.propagate_uplink_status == wanted
    assert sdk.get_port(port.id).propagate_uplink_status == wanted


@pytest.mark.fakevm(backend="ovs")
def test_agents_tell_how_much_their_bridges_carry(cloud: Cloud) -> None:
    """Of fullstack test_agent_bandwidth_report."""
    (agent,) = cloud.lab.openstack.network.agents(
        host="compute-1", binary="neutron-openvswitch-agent"
    )
    told = agent.configuration["resource_provider_bandwidths"]
    assert told == {"br-provider": {"egress": 10000, "ingress": 20000}}
