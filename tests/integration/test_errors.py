"""Each error names its subject and the mend, has its exit code, and leaves nothing behind."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.integration import plain
from tests.integration.cloud import Cloud, Guest
from tests.integration.hosts import docker
from tests.integration.lab import COMPUTES, Lab


def test_no_lab_of_this_name_runs(lab: Lab) -> None:
    for command in (("list",), ("status",), ("exec", "x", "true"), ("create-port", "n", "i")):
        error = lab.fakevm.fails(3, *command, env={"FAKEVM_LAB": "absent"})
        assert "absent" in error
        assert "fakevm up" in error
    # The option wins over the environment.
    assert "gone" in lab.fakevm.fails(3, "list", "--lab", "gone")


def test_an_unknown_host_is_told_with_the_known_ones(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.8.0.0/24")
    error = lab.fakevm.fails(3, "create-port", "--host", "compute-77", network, "x")
    for name in ("compute-77", *COMPUTES):
        assert name in error
    assert cloud.vifs() == []


def test_unknown_networks_and_vifs_are_not_found(lab: Lab) -> None:
    for command in (
        ("create-port", "--host", "compute-1", "no-such-thing", "x"),
        ("show", "no-such-thing"),
        ("exec", "no-such-thing", "true"),
        ("delete-port", "no-such-thing"),
        ("migrate", "compute-1", "no-such-thing"),
    ):
        assert "no-such-thing" in lab.fakevm.fails(3, *command)


def test_an_ambiguous_prefix_is_told_with_the_matches(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network()
    ids: list[str] = []
    # With sixteen first digits, the seventeenth port at the latest shares one.
    while len(twins := _sharing_first_digit(ids)) < 2:
        port = lab.sdk.network.create_port(network_id=network, device_owner="compute:nova")
        ids.append(port.id)
    error = lab.fakevm.fails(4, "show", twins[0][0])
    assert all(twin in error for twin in twins)


def test_usage_errors(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.8.0.0/24")
    for command in (
        ("no-such-command",),
        ("create-port",),
        ("list", "-f", "xml"),
        ("exec", "--timeout", "soon", "x", "true"),
        ("up", "--computes", "-1"),
        ("create-port", "--fixed-ip", "10.8.0.999", network, "vm"),
    ):
        lab.fakevm.fails(2, *command)
    assert cloud.vifs() == []


@pytest.mark.ovs
def test_what_is_ovn_s_is_refused(lab: Lab) -> None:
    assert "ML2/OVS, which has no OVN" in lab.fakevm.fails(4, "ovn", "nbctl", "show")


def test_docker_cannot_be_reached(lab: Lab) -> None:
    dead = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    for command in (("list",), ("up",), ("down",), ("status",)):
        error = lab.fakevm.fails(5, *command, env=dead)
        assert "Docker" in error
        assert "/nonexistent/docker.sock" in error


def test_the_engine_is_reached_by_a_context(
    lab: Lab, pair: tuple[Guest, Guest], tmp_path: Path
) -> None:
    config = {"DOCKER_CONFIG": str(tmp_path)}
    socket = docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").strip()
    create = ("docker", "context", "create", "other", "--docker", f"host={socket}")
    plain.run(*create, env={**os.environ, **config})
    other = config | {"DOCKER_CONTEXT": "other"}
    assert pair[0].port_id in lab.fakevm.ok("list", env=other)
    assert lab.fakevm.ok("exec", pair[0].port_id, "--", "echo", "hi", env=other) == "hi\n"


def test_neutron_does_not_answer_in_time(lab: Lab, pair: tuple[Guest, Guest]) -> None:
    with lab.host("neutron-api").paused("pyuwsgi"):
        error = lab.fakevm.fails(5, "list", "--timeout", "2")
        assert "Neutron" in error
        assert "2 s" in error
        # What needs no Neutron goes on without it.
        vif = pair[0].port_id
        assert lab.fakevm.ok("exec", "--host", "compute-1", vif, "--", "echo", "hi") == "hi\n"
    assert lab.fakevm.json("show", pair[0].port_id)["port_id"] == pair[0].port_id


def test_a_service_that_does_not_run_is_named(lab: Lab, pair: tuple[Guest, Guest]) -> None:
    api = lab.host("neutron-api").container
    docker("pause", api)
    try:
        assert "neutron-api" in lab.fakevm.fails(5, "list")
    finally:
        docker("unpause", api)
    assert pair[0].port_id in [row["port_id"] for row in lab.fakevm.json("list")]


def test_a_vif_that_is_not_plugged_cannot_run_commands(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.8.0.0/24")
    a = cloud.guest(network, "a", "compute-1")
    lab.fakevm.ok("unplug", a.port_id)
    assert a.port_id[:8] in lab.fakevm.fails(3, "exec", a.port_id, "true")


def test_the_agent_does_not_answer(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.8.0.0/24")
    host = lab.host("compute-3")
    before = set(host.interfaces())
    with host.paused("bin/fakevm-agent"):
        result = lab.fakevm.run(
            "create-port", "--host", "compute-3", "--timeout", "5", network, "x"
        )
        assert result.exit_code in (5, 6), f"{result}"
        assert "compute-3" in result.stderr
        assert cloud.vifs() == []
    # It plugs now what it was told to, and unplugs it, as it was told then.
    after = cloud.guest(network, "after", "compute-3")
    assert set(host.interfaces()) == {*before, after.port_id}


def _sharing_first_digit(ids: list[str]) -> list[str]:
    digit, count = Counter(i[0] for i in ids).most_common(1)[0] if ids else ("", 0)
    return [i for i in ids if i[0] == digit] if count > 1 else []
