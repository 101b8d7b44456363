"""fullstack test_connectivity, test_l3_agent: what restarts, and what that costs."""

import re
import subprocess

import pytest

from fakevm import Cloud, Vm
from tests.scenarios.pinging import pinging
from tests.scenarios.subnets import SUBNET


@pytest.fixture
def pair(cloud: Cloud) -> tuple[Vm, Vm]:
    """Two VMs on two hosts."""
    net = cloud.network("blue", subnets=[SUBNET])
    a, b = cloud.vms("a", "b", on=["compute-1", "compute-2"], networks=[net])
    return a, b


def cookies(cloud: Cloud, host: str) -> set[str]:
    """Return the cookies of a host's flows in br-tun: an L2 agent takes another in each life."""
    container = f"fakevm-{cloud.lab.name}-{host}-1"
    dump = ["docker", "exec", container, "ovs-ofctl", "dump-flows", "br-tun"]
    return set(re.findall(r"cookie=(\w+)", subprocess.check_output(dump, text=True)))


@pytest.mark.fakevm(hosts=2, backend="ovs")
def test_l2_agents_restart_without_loss(cloud: Cloud, pair: tuple[Vm, Vm]) -> None:
    a, b = pair
    with pinging((a, b.addresses[0])) as (pings,):
        cloud.lab.restart([a.host, b.host], only="l2-agent")
    assert pings.lost == []


@pytest.mark.fakevm(hosts=2, backend="ovs")
def test_an_l2_agent_is_killed_without_loss(cloud: Cloud, pair: tuple[Vm, Vm]) -> None:
    a, b = pair
    life = cookies(cloud, b.host)
    with pinging((a, b.addresses[0])) as (pings,):
        cloud.lab.outages.kill(f"l2-agent@{b.host}")
        # A VM that comes while it still does makes it lose packets: scenario Y.
        cloud.lab.wait_for("an end of its former life", lambda: not life & cookies(cloud, b.host))
        # What has begun anew does its work.
        cloud.vm("c", on=b.host, networks=[cloud.name("blue")]).assert_reaches(a)
    assert pings.lost == []


@pytest.mark.fakevm(hosts=2, backend="ovs")
def test_without_its_l2_agent_a_host_goes_on(cloud: Cloud, pair: tuple[Vm, Vm]) -> None:
    a, b = pair
    with cloud.lab.stopped(f"l2-agent@{b.host}"), pinging((a, b.addresses[0])) as (pings,):
        b.ping(a, count=10)
    assert pings.lost == []


# The new one takes all flows away before it adds its own (ovn-controller(8),
# ovn-ofctrl-wait-before-clear); most often that is between two pings.
@pytest.mark.fakevm(hosts=2, backend="ovn")
def test_ovn_controllers_restart_with_half_a_second_s_loss_at_most(
    cloud: Cloud, pair: tuple[Vm, Vm]
) -> None:
    a, b = pair
    with pinging((a, b.addresses[0])) as (pings,):
        cloud.lab.outages.kill(f"ovn-controller@{b.host}")
        cloud.vm("c", on=b.host, networks=[cloud.name("blue")]).assert_reaches(a)
    assert len(pings.lost) <= 5


@pytest.mark.fakevm(hosts=2)
def test_an_ovs_vswitchd_s_restart_heals(cloud: Cloud, pair: tuple[Vm, Vm]) -> None:
    a, b = pair
    with pinging((a, b.addresses[0])) as (pings,):
        cloud.lab.outages.kill(f"ovs-vswitchd@{b.host}")
        a.assert_reaches(b, within_s=30)
    assert pings.sent - len(pings.lost) >= 10
    a.ping(b)
