"""fullstack base (agents up and down): who does not report any more is dead in Neutron's list."""

import pytest

from fakevm import Cloud


@pytest.mark.fakevm(hosts=2)
def test_an_agent_dies_and_lives_again(cloud: Cloud, backend: str) -> None:
    process = {"ovs": "l2-agent", "ovn": "ovn-controller"}[backend]
    kind = {"ovs": "Open vSwitch agent", "ovn": "OVN Controller agent"}[backend]

    def alive() -> bool:
        agents = cloud.lab.openstack.network.agents(host="compute-2")
        return any(one.is_alive for one in agents if one.agent_type == kind)

    cloud.lab.wait_for("alive", alive)
    with cloud.lab.stopped(f"{process}@compute-2"):
        cloud.lab.wait_for("dead", lambda: not alive())
    cloud.lab.wait_for("alive again", alive)
