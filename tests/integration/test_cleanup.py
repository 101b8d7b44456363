"""What is left of ports that are gone is found and removed, and nothing else."""

from __future__ import annotations

from tests.integration.cloud import Cloud
from tests.integration.lab import Lab


def test_leftovers_are_told_and_removed(lab: Lab, cloud: Cloud) -> None:
    # A port that was deleted while its host was away leaves a VM there, as it says then.
    lab.fakevm.ok("cleanup")
    network = cloud.network()
    cloud.subnet(network, "10.11.0.0/24")
    keep = cloud.guest(network, "keep", "compute-1")
    gone = cloud.guest(network, "gone", "compute-1", addressing="dhcp")
    moved = cloud.guest(network, "moved", "compute-2")
    host = gone.host
    bystander = "not-a-vm"
    host.run("ip", "link", "add", bystander, "type", "veth", "peer", "name", "not-a-vm-peer")
    try:
        lab.sdk.network.delete_port(gone.port_id)
        lab.sdk.network.delete_port(moved.port_id)
        told = lab.fakevm.json("cleanup", "--dry-run")
        assert {(row["host"], row["port_id"]) for row in told if row["port_id"]} == {
            ("compute-1", gone.port_id),
            ("compute-2", moved.port_id),
        }
        assert {"netns", "interface"} <= {row["kind"] for row in told}
        assert gone.instance_id in host.vm_names()
        assert gone.port_id in host.interfaces()
        (shown,) = [r for r in lab.fakevm.json("list") if r["port_id"] == gone.port_id]
        assert shown["differs"]

        assert len(lab.fakevm.json("cleanup")) >= len(told)
        for guest in (gone, moved):
            assert guest.instance_id not in guest.host.vm_names()
            assert guest.port_id not in guest.host.interfaces()
            assert f"tap{guest.port_id}"[:14] not in guest.host.links()
            assert guest.host.processes("dhc", guest.instance_id) == []
        assert keep.instance_id in host.vm_names()
        assert bystander in host.links()
        assert lab.fakevm.json("cleanup") == []
    finally:
        host.run("ip", "link", "delete", bystander)


def test_half_a_leftover_is_removed_too(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.11.1.0/24")
    gone = cloud.guest(network, "gone", "compute-3")
    host = gone.host
    # Half of it is gone already, by another hand.
    host.run("ovs-vsctl", "del-port", "br-int", f"tap{gone.port_id}"[:14])
    lab.sdk.network.delete_port(gone.port_id)
    lab.fakevm.ok("cleanup")
    assert gone.instance_id not in host.vm_names()
    assert f"tap{gone.port_id}"[:14] not in host.links()
