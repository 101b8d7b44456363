"""Compute hosts for a Neutron that is no lab's: of another owner, on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openstack.connection
import pytest

from fakevm.inventory.addresses import Addressing
from tests.integration import plain
from tests.integration.cloud import Cloud
from tests.integration.conftest import LOGS
from tests.integration.hosts import container_ids
from tests.integration.lab import Lab

pytestmark = pytest.mark.nightly

PASSWORD = "neutron"

# Where ovs-vswitchd listens for ovs-appctl(8).
CTL = "/run/openvswitch/ovs-vswitchd.ctl"


@dataclass(frozen=True)
class Neutron:
    """A Neutron whose services are published at an address of this machine."""

    name: str
    backend: str
    address: str

    @property
    def api(self) -> str:
        return f"http://{self.address}:9696"

    @property
    def way(self) -> tuple[str, str]:
        """How its agents reach it."""
        if self.backend == "ovs":
            return "--transport-url", f"rabbit://neutron:{PASSWORD}@{self.address}/"
        return "--ovn-sb", f"tcp:{self.address}:6642"


# What it is made of, and what of it is published.
DOCUMENTS = {"ovs": "docker-compose.yml", "ovn": "compose/ovn.yml"}
SERVICES = {
    "ovs": ("neutron-api", "neutron-rpc", "neutron-periodic", "nova-events"),
    "ovn": ("neutron-api", "neutron-ovn-maintenance", "nova-events"),
}
PUBLISHED = {
    "ovs": {"neutron-api": 9696, "rabbitmq": 5672},
    "ovn": {"neutron-api": 9696, "ovn-central": 6642},
}


@pytest.fixture(params=["ovs", "ovn"])
def neutron(lab_name: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Neutron]:
    """A Neutron without hosts; Compose alone knows it. It has an address of its own network's."""
    name = f"{lab_name}-else"
    env = plain.environment(name)
    address = env["FAKEVM_MANAGEMENT_SUBNET"].replace(".0/23", ".1")
    published = {
        service: {"ports": [f"{address}:{port}:{port}"]}
        for service, port in PUBLISHED[request.param].items()
    }
    more = tmp_path / "published.json"
    more.write_text(json.dumps({"services": published}), encoding="utf-8")
    files = ("-f", DOCUMENTS[request.param], "-f", str(more))
    try:
        up = ("up", "--detach", "--wait", *SERVICES[request.param])
        plain.run("docker", "compose", *files, *up, env=env)
        yield Neutron(name, request.param, address)
    finally:
        plain.run("docker", "compose", *files, "down", "--volumes", env=env)


@pytest.fixture
def edge(lab_name: str, neutron: Neutron) -> Iterator[Lab]:
    """Two hosts that have joined it."""
    edge = Lab(f"{lab_name}-edge")
    hosts = ("--host", "edge-1", "--host", "edge-2")
    try:
        edge.fakevm.ok("join", "--name", edge.name, "--api", neutron.api, *neutron.way, *hosts)
        yield edge
    finally:
        edge.save_logs(LOGS / edge.name)
        edge.fakevm.ok("down", "--name", edge.name)


def test_hosts_join_a_neutron_that_is_no_lab_s_and_leave_it(neutron: Neutron, edge: Lab) -> None:
    before = container_ids(neutron.name)
    assert sorted(container_ids(edge.name)) == ["edge-1", "edge-2", "nova-events"]
    # Tunnels to that machine have a way: agents of that Neutron would be there.
    route = edge.host("edge-1").run("ovs-appctl", "-t", CTL, "ovs/route/lookup", neutron.address)
    assert "dev br-phy" in route
    # DHCP agents of ML2/OVS would be that Neutron's, and it has none.
    addressing: Addressing = "static" if neutron.backend == "ovs" else "dhcp"
    with Cloud(edge, "elsewhere") as cloud:
        network = cloud.network(cidr="10.41.0.0/24")
        here, there = (
            cloud.guest(network, name, name, addressing=addressing) for name in ("edge-1", "edge-2")
        )
        here.ping(there.ip)
        edge.migrate("edge-1", there.port_id)
        assert edge.sdk.network.get_port(there.port_id).binding_host_id == "edge-1"
        edge.migrate("--cold", "edge-2", here.port_id)
        there.ping(here.ip)
        assert "with VMs on its hosts" in edge.fakevm.fails(4, "leave", "--name", edge.name)
    edge.fakevm.ok("leave", "--name", edge.name)
    assert plain.leftovers(edge.name) == []
    admin = openstack.connection.Connection(auth_type="none", endpoint=neutron.api)
    assert list(admin.network.agents()) == []
    assert container_ids(neutron.name) == before
