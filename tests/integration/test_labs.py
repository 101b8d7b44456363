"""Labs side by side, from a wheel without a checkout, and by Compose alone."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import plain
from tests.integration.cloud import Cloud
from tests.integration.command import Fakevm, interrupt_when
from tests.integration.conftest import LOGS
from tests.integration.hosts import container_ids
from tests.integration.lab import Lab


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """`fakevm` from a wheel, in a fresh virtual environment outside the checkout."""
    plain.run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, plain.ROOT)
    (wheel,) = tmp_path.glob("fakevm-*.whl")
    plain.run(sys.executable, "-m", "venv", tmp_path / "venv")
    plain.run(tmp_path / "venv/bin/python", "-m", "pip", "install", "-q", wheel)
    return tmp_path / "venv/bin/fakevm"


@pytest.fixture
def second(lab: Lab, installed: Path, tmp_path: Path) -> Iterator[Lab]:
    """A lab of one compute host beside the session's, from an empty folder, at the second try."""
    empty = tmp_path / "empty"
    empty.mkdir()
    second = Lab(f"{lab.name}-second")
    second.fakevm = Fakevm(lab=second.name, executable=installed, cwd=empty)
    command = ("up", "--name", second.name, "--computes", "1")
    try:
        first_try = second.fakevm.start(*command)
        interrupt_when(first_try, "a container", lambda: container_ids(second.name))
        assert first_try.returncode == 130
        second.fakevm.ok(*command)
        assert list(empty.iterdir()) == []
        yield second
    finally:
        second.save_logs(LOGS / second.name)
        second.fakevm.ok("down", "--name", second.name)


def test_two_labs_share_nothing(lab: Lab, second: Lab, cloud: Cloud) -> None:
    one, other = plain.subnets(lab.name), plain.subnets(second.name)
    assert len(one) == len(other) == 3
    assert not one.keys() & other.keys()
    for a, b in itertools.product(one.values(), other.values()):
        assert not a.overlaps(b)
    (mine,), (its,) = (plain.published_ports(x.name)["neutron-api"] for x in (lab, second))
    assert mine["HostPort"] != its["HostPort"]

    here = cloud.guest(cloud.network(cidr="10.14.0.0/24"), "same", "compute-1")
    with Cloud(second, "second") as cloud_there:
        there = cloud_there.guest(cloud_there.network(cidr="10.14.0.0/24"), "same", "compute-1")
        assert [row["port_id"] for row in second.fakevm.json("list")] == [there.port_id]
        assert there.port_id not in [row["port_id"] for row in lab.fakevm.json("list")]
        assert second.host("compute-1").container != lab.host("compute-1").container
        assert lab.fakevm.json("cleanup") == second.fakevm.json("cleanup") == []
    here.exec("true")

    before = container_ids(lab.name)
    removed = second.fakevm.json("down", "--name", second.name)
    assert container_ids(lab.name) == before
    assert plain.subnets(lab.name) == one
    assert plain.leftovers(second.name) == removed["kept_networks"] == []


def test_compose_alone_makes_a_whole_lab_and_takes_it_away(lab: Lab) -> None:
    by_compose = Lab(f"{lab.name}-plain")
    env = plain.environment(by_compose.name)
    try:
        plain.run("docker", "compose", "up", "-d", "--wait", env=env)
        ids = container_ids(by_compose.name)
        with Cloud(by_compose, "plain") as cloud:
            network = cloud.network(cidr="10.15.0.0/24")
            a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-3"})
            a.ping(b.ip)
            # `fakevm up` finds the lab as it would have made it.
            by_compose.fakevm.ok("up", "--name", by_compose.name, "--computes", "3")
            assert container_ids(by_compose.name) == ids
            a.ping(b.ip)
    finally:
        by_compose.save_logs(LOGS / by_compose.name)
        plain.run("docker", "compose", "down", "-v", env=env)
    assert plain.leftovers(by_compose.name) == []
