"""Labs side by side, from a wheel without a checkout, and by Compose alone."""

from __future__ import annotations

import ipaddress
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cloud import Cloud
from tests.integration.command import Fakevm
from tests.integration.conftest import LOGS
from tests.integration.hosts import container_ids, docker, inspect
from tests.integration.lab import Lab
from tests.integration.test_lab import inspect_networks

ROOT = Path(__file__).parents[2]


def run(*argv: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """`fakevm` from a wheel, in a fresh virtual environment outside the checkout."""
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("fakevm-*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    run(tmp_path / "venv/bin/python", "-m", "pip", "install", "-q", wheel)
    return tmp_path / "venv/bin/fakevm"


@pytest.fixture
def second(lab: Lab, installed: Path, tmp_path: Path) -> Iterator[Lab]:
    """A lab of one compute host beside the session's, started in an empty folder."""
    empty = tmp_path / "empty"
    empty.mkdir()
    second = Lab(f"{lab.name}-second")
    second.fakevm = Fakevm(lab=second.name, executable=installed, cwd=empty)
    try:
        second.fakevm.ok("up", "--name", second.name, "--computes", "1")
        assert list(empty.iterdir()) == []
        yield second
    finally:
        second.save_logs(LOGS / second.name)
        second.fakevm.ok("down", "--name", second.name)


def test_two_labs_share_nothing(lab: Lab, second: Lab, cloud: Cloud) -> None:
    one, other = (
        networks_of(lab.name),
        networks_of(second.name),
    )
    assert len(one) == len(other) == 3
    assert not one.keys() & other.keys()
    for a, b in itertools.product(one.values(), other.values()):
        assert not a.overlaps(b)
    assert not published_ports(lab.name) & published_ports(second.name)

    here = cloud.guest(cloud.network(cidr="10.14.0.0/24"), "same", "compute-1")
    with Cloud(second, "second") as cloud_there:
        there = cloud_there.guest(cloud_there.network(cidr="10.14.0.0/24"), "same", "compute-1")
        assert [row["port_id"] for row in second.fakevm.json("list")] == [there.port_id]
        assert there.port_id not in [row["port_id"] for row in lab.fakevm.json("list")]
        assert second.host("compute-1").container != lab.host("compute-1").container
        assert lab.fakevm.json("cleanup") == second.fakevm.json("cleanup") == []
    here.exec("true")

    mine = container_ids(lab.name)
    second.fakevm.ok("down", "--name", second.name)
    assert container_ids(lab.name) == mine
    assert (networks_of(lab.name), leftovers(second.name)) == (one, [])


def test_compose_alone_makes_a_whole_lab_and_takes_it_away(lab: Lab) -> None:
    plain = Lab(f"{lab.name}-plain")
    subnet = free_slice()
    management, underlay, provider, _ = map(str, subnet.subnets(new_prefix=23))
    env = {
        **os.environ,
        "COMPOSE_PROJECT_NAME": f"fakevm-{plain.name}",
        "FAKEVM_LAB": plain.name,
        "FAKEVM_MANAGEMENT_SUBNET": management,
        "FAKEVM_UNDERLAY_SUBNET": underlay,
        "FAKEVM_PROVIDER_SUBNET": provider,
        "FAKEVM_API_PORT": str(free_port()),
    }
    try:
        run("docker", "compose", "up", "-d", "--wait", cwd=ROOT, env=env)
        ids = container_ids(plain.name)
        with Cloud(plain, "plain") as cloud:
            network = cloud.network(cidr="10.15.0.0/24")
            a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-3"})
            a.ping(b.ip)
            # `fakevm up` finds the lab as it would have made it.
            plain.fakevm.ok("up", "--name", plain.name, "--computes", "3")
            assert container_ids(plain.name) == ids
            a.ping(b.ip)
    finally:
        plain.save_logs(LOGS / plain.name)
        run("docker", "compose", "down", "-v", cwd=ROOT, env=env)
    assert leftovers(plain.name) == []


def networks_of(lab: str | None = None) -> dict[str, ipaddress.IPv4Network]:
    """Return the subnets of a lab's networks, or of all networks of this machine, by id."""
    label = ("--filter", f"label=fakevm.lab={lab}") if lab else ()
    names = docker("network", "ls", "-q", *label).split()
    return {
        n["Id"]: ipaddress.IPv4Network(config["Subnet"])
        for n in (inspect_networks(names) if names else [])
        for config in n["IPAM"]["Config"] or []
        if ":" not in config["Subnet"]
    }


def free_slice() -> ipaddress.IPv4Network:
    """Return the last /21 of the range for labs that no network of this machine is in."""
    taken = networks_of().values()
    slices = reversed(list(ipaddress.IPv4Network("198.18.0.0/15").subnets(new_prefix=21)))
    return next(s for s in slices if not any(s.overlaps(network) for network in taken))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def published_ports(lab: str) -> set[str]:
    return {
        port["HostPort"]
        for container in inspect(list(container_ids(lab).values()))
        for ports in (container["NetworkSettings"]["Ports"] or {}).values()
        for port in ports or []
    }


def leftovers(lab: str) -> list[str]:
    label = ("--filter", f"label=fakevm.lab={lab}")
    return [
        *docker("ps", "-aq", *label).split(),
        *docker("network", "ls", "-q", *label).split(),
        *docker("volume", "ls", "-q", *label).split(),
    ]
