"""Compute hosts of one lab for the Neutron of another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration import plain
from tests.integration.cloud import Cloud
from tests.integration.conftest import LOGS
from tests.integration.hosts import container_ids
from tests.integration.lab import Lab


@pytest.fixture
def edge(lab: Lab) -> Iterator[Lab]:
    """A host that has joined the session's lab; its lab sees the hosts of both."""
    edge = Lab(f"{lab.name}-edge")
    (place,) = plain.published_ports(lab.name)["neutron-api"]
    api = f"http://127.0.0.1:{place['HostPort']}"
    try:
        edge.fakevm.ok("join", "--name", edge.name, "--api", api, "--host", "edge-1")
        yield edge
    finally:
        edge.save_logs(LOGS / edge.name)
        edge.fakevm.run("leave", "--name", edge.name)
        # Where it may not leave.
        edge.fakevm.ok("down", "--name", edge.name)


@pytest.mark.nightly
def test_a_host_joins_another_lab_s_neutron_and_leaves_it(lab: Lab, edge: Lab) -> None:
    before = container_ids(lab.name)
    assert list(container_ids(edge.name)) == ["edge-1"]
    with Cloud(edge, "joined") as cloud:
        network = cloud.network(cidr="10.40.0.0/24")
        here = cloud.guest(network, "here", "compute-1")
        there = cloud.guest(network, "there", "edge-1")
        here.ping(there.ip)
        edge.fakevm.ok("migrate", "compute-2", there.port_id)
        assert edge.sdk.network.get_port(there.port_id).binding_host_id == "compute-2"
        edge.fakevm.ok("migrate", "edge-1", here.port_id)
        there.ping(here.ip)
        refused = edge.fakevm.fails(4, "leave", "--name", edge.name)
        assert "with VMs on its hosts" in refused
    for command in (("down", "--name", lab.name), ("up", "--name", edge.name)):
        assert "leave" in edge.fakevm.fails(4, *command)
    edge.fakevm.ok("leave", "--name", edge.name)
    assert plain.leftovers(edge.name) == []
    assert [one for one in lab.sdk.network.agents() if one.host == "edge-1"] == []
    assert container_ids(lab.name) == before
