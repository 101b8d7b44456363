"""fullstack test_segmentation_id: a network's VLAN changes, also under its VMs."""

import time
from functools import partial
from typing import Any

import pytest
from openstack.exceptions import BadRequestException

from fakevm import Cloud, Vm
from fakevm.errors import WaitTimeoutError
from tests.scenarios.subnets import SUBNET

# Two of an L2 agent's.
_ROUNDS_S = 3

PHYSNET: Any = {"network_type": "vlan", "physical_network": "physnet1"}


def is_carried_by(vlan: int, source: Vm, target: Vm) -> bool:
    """Tell whether packets arrive, and in this VLAN."""
    way = source.trace(target)
    return way.arrives and any(f"VLAN {vlan}" in hop.what for hop in way.hops)


def test_it_changes_while_no_vm_is_there(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("net", subnets=[SUBNET], segmentation_id=480, **PHYSNET)
    sdk.update_network(net.id, provider_segmentation_id=481)
    assert net.attributes["provider:segmentation_id"] == 481

    # Nor do ports count that no host has.
    sdk.create_port(name=cloud.name("unbound"), network_id=net.id)
    failed = sdk.create_port(name=cloud.name("failed"), network_id=net.id, binding_host_id="none")
    assert failed.binding_vif_type == "binding_failed"
    sdk.update_network(net.id, provider_segmentation_id=482)
    assert net.attributes["provider:segmentation_id"] == 482


def test_one_that_another_network_has_is_refused(cloud: Cloud) -> None:
    cloud.network("blue", segmentation_id=483, **PHYSNET)
    red = cloud.network("red", segmentation_id=484, **PHYSNET)
    with pytest.raises(Exception, match="483"):
        cloud.lab.openstack.network.update_network(red.id, provider_segmentation_id=483)
    assert red.attributes["provider:segmentation_id"] == 484


@pytest.mark.fault(
    "ovs",
    raises=WaitTimeoutError,
    reason="scenario U, `former-vlan`: the agent changes the network's VLAN, and then gives the"
    " port a second local VLAN with the former one (`get_device_details`, agent/rpc.py)",
)
@pytest.mark.fault(
    "ovn",
    raises=BadRequestException,
    reason="scenario U, `former-vlan`: of hosts with the userspace datapath the driver allows it"
    " for vhostuser alone (`get_supported_vif_types`)",
)
def test_vms_reach_each_other_after_it_has_changed(cloud: Cloud) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("net", subnets=[SUBNET], segmentation_id=485, **PHYSNET)
    one, other = cloud.vms("one", "other", networks=[net])
    one.ping(other)
    # The L2 agents look at the VMs' ports once more, now and after the change; then they are wrong.
    time.sleep(_ROUNDS_S)
    sdk.update_network(net.id, provider_segmentation_id=486)
    time.sleep(_ROUNDS_S)
    for source, target in ((one, other), (other, one)):
        changed = partial(is_carried_by, 486, source, target)
        cloud.lab.wait_for("the new VLAN", changed, timeout_s=3)
    one.ping(other)

    # They have left their VLAN: who has it now hears nothing of them.
    heir = cloud.network("heir", subnets=[SUBNET], segmentation_id=485, **PHYSNET)
    third = cloud.vm("third", on=other.host, nics=[{"network": heir, "fixed_ips": ["10.9.0.250"]}])
    assert third.exec("ping", "-c3", "-W1", one.addresses[0]).exit_code == 1
    one.ping(other)
