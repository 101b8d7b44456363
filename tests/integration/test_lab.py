"""The lab as a whole: what runs, who it listens to, and `up` again with more hosts and fewer."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
import yaml

from fakevm.lab import Lab as Library
from tests.integration import plain
from tests.integration.cloud import Cloud
from tests.integration.hosts import container_ids, docker, inspect
from tests.integration.lab import COMPUTES, Lab

CONTROL = (
    *("nova-events", "mariadb", "rabbitmq"),
    *("neutron-api", "neutron-rpc", "neutron-periodic", "network-1"),
)


@pytest.mark.ovs
def test_every_container_is_healthy_and_labelled(lab: Lab) -> None:
    # What an earlier story had Neutron do may have kept a check from its answer.
    lab.wait_until_healthy()
    ids = container_ids(lab.name)
    assert set(ids) == {*CONTROL, *COMPUTES}
    for container in inspect(list(ids.values())):
        assert container["State"]["Running"]
        # The periodic workers answer nobody: there is nothing to ask them.
        if container["Config"]["Hostname"] != "neutron-periodic":
            assert container["State"]["Health"]["Status"] == "healthy"
        assert container["Config"]["Labels"]["fakevm.role"]
        assert container["HostConfig"]["Privileged"] is False
        assert container["HostConfig"]["PidMode"] != "host"


def test_only_the_api_is_published_and_only_on_loopback(lab: Lab) -> None:
    published = plain.published_ports(lab.name)
    assert list(published) == ["neutron-api"]
    assert [place["HostIp"] for place in published["neutron-api"]] == ["127.0.0.1"]


def test_underlay_and_provider_networks_are_internal(lab: Lab) -> None:
    networks = {n["Labels"]["com.docker.compose.network"]: n for n in plain.networks(lab.name)}
    assert set(networks) == {"management", "underlay", "provider"}
    assert networks["underlay"]["Internal"]
    assert networks["provider"]["Internal"]


@pytest.mark.ovs
def test_passwords_are_made_for_this_lab(lab: Lab) -> None:
    (api,) = inspect([container_ids(lab.name)["neutron-api"]])
    env = dict(entry.split("=", 1) for entry in api["Config"]["Env"])
    for variable in ("OS_DATABASE__CONNECTION", "OS_DEFAULT__TRANSPORT_URL"):
        # The default, for a lab that is started by hand, is the user's name.
        url = urlsplit(env[variable])
        assert url.password not in (None, "", url.username)


def test_status_says_what_neutron_says(lab: Lab) -> None:
    hosts = {row["host"]: row for row in lab.fakevm.json("status")["hosts"]}
    assert set(hosts) >= set(COMPUTES)
    datapath = lab.host("compute-1").run("ovs-vsctl", "get", "Bridge", "br-int", "datapath_type")
    for name in COMPUTES:
        assert hosts[name]["l2_agent"] == "alive"
        assert hosts[name]["datapath"] == (datapath.strip().strip('"') or "system")
        assert hosts[name]["vms"] == len(lab.host(name).vm_names())


@pytest.mark.ovs
def test_the_agents_that_neutron_needs_are_alive(lab: Lab) -> None:
    agents = {(a.binary, a.host) for a in lab.sdk.network.agents() if a.is_alive}
    expected = {("neutron-openvswitch-agent", name) for name in (*COMPUTES, "network-1")}
    for binary in ("neutron-dhcp-agent", "neutron-l3-agent", "neutron-metadata-agent"):
        expected.add((binary, "network-1"))
    assert expected <= agents


def test_a_script_has_the_sdk_of_the_same_neutron(lab: Lab) -> None:
    with Library(lab.name) as library:
        found = {agent.id for agent in library.neutron.sdk.network.agents()}
    assert found == {agent.id for agent in lab.sdk.network.agents()} != set()


def test_a_second_up_recreates_nothing_and_hosts_come_and_go(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.13.0.0/24")
    a = cloud.guest(network, "a", "compute-1")
    before = container_ids(lab.name)
    clouds = yaml.safe_load(lab.fakevm.ok("clouds-yaml"))

    lab.fakevm.ok("up", "--name", lab.name, "--computes", "4")
    ids = container_ids(lab.name)
    assert ids.keys() - before.keys() == {"compute-4"}
    assert {name: ids[name] for name in before} == before
    d = cloud.guest(network, "d", "compute-4")
    a.ping(d.ip)
    lab.fakevm.ok("delete-port", d.port_id)

    lab.fakevm.ok("up", "--name", lab.name, "--computes", "3")
    assert container_ids(lab.name) == before
    lab.fakevm.ok("up", "--name", lab.name, "--computes", "3")
    assert container_ids(lab.name) == before
    assert yaml.safe_load(lab.fakevm.ok("clouds-yaml")) == clouds
    assert "compute-4" not in [row["host"] for row in lab.fakevm.json("status")["hosts"]]


@pytest.mark.nightly
def test_a_host_that_is_made_anew_is_told_with_what_it_has_lost(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.13.1.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-3"})
    docker("rm", "--force", b.host.container)
    told = lab.fakevm.run("up", "--name", lab.name, "--computes", "3")
    assert told.exit_code == 0
    assert f"fakevm plug {b.port_id}" in told.stderr
    assert a.port_id not in told.stderr
    lab.fakevm.ok("plug", b.port_id)
    a.ping(b.ip)
