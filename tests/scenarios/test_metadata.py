"""fullstack test_ovs_metadata_extension, neutron-tempest-plugin test_metadata: metadata."""

import json
from typing import Any

import pytest

from fakevm import Cloud, Network, Vm
from fakevm.errors import WaitTimeoutError

PATH = "openstack/latest/meta_data.json"
V4, V6 = f"http://169.254.169.254/{PATH}", f"http://[fe80::a9fe:a9fe%25eth0]/{PATH}"


def assert_told(cloud: Cloud, vm: Vm, url: str = V4, *, within_s: float = 60) -> None:
    """Expect the metadata to be the VM's own; the first VM of a network may have to wait."""
    ask = ("curl", "-fsS", "--max-time", "3", url)
    said = cloud.lab.wait_for("the metadata", lambda: vm.exec(*ask).stdout, timeout_s=within_s)
    assert json.loads(said)["uuid"] == vm.id


@pytest.fixture
def net(cloud: Cloud) -> Network:
    return cloud.network("blue", subnets=["10.1.0.0/24"])


@pytest.mark.each_change
def test_vms_are_told_their_own(cloud: Cloud, net: Network) -> None:
    for vm in cloud.vms("a", "b", networks=[net], addressing="dhcp"):
        assert_told(cloud, vm)


def test_behind_a_router(cloud: Cloud, net: Network) -> None:
    cloud.router("edge", interfaces=[net])
    assert_told(cloud, cloud.vm("a", networks=[net], addressing="dhcp"))


@pytest.mark.fault(
    "ovn",
    raises=WaitTimeoutError,
    reason="scenario W, `ipv6-metadata`: on the userspace datapath the metadata agent has the"
    " checksums of IPv4 filled in alone (`_ensure_datapath_checksum`)",
)
def test_by_ipv6_alone(cloud: Cloud) -> None:
    mode = "dhcpv6-stateful"
    subnet: Any = {"cidr": "fd00:1::/64", "ipv6_ra_mode": mode, "ipv6_address_mode": mode}
    net = cloud.network("six", subnets=[subnet])
    assert_told(cloud, cloud.vm("a", networks=[net]), V6, within_s=5)


def test_after_a_move(cloud: Cloud, net: Network) -> None:
    vm = cloud.vm("a", networks=[net], addressing="dhcp")
    assert_told(cloud, vm)
    vm.migrate(next(host for host in cloud.hosts if host != vm.host))
    assert_told(cloud, vm)


def test_after_the_agent_s_restart(cloud: Cloud, net: Network, backend: str) -> None:
    vm = cloud.vm("a", networks=[net], addressing="dhcp")
    host = {"ovs": "network-1", "ovn": vm.host}[backend]
    with cloud.lab.stopped(f"metadata-agent@{host}"):
        unasked = vm.exec("curl", "-fsS", "--max-time", "3", V4)
        assert unasked.exit_code != 0
    assert_told(cloud, vm)
