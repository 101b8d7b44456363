"""A lab by `docker compose` alone, beside others, and what labs have of the machine's networks."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.integration.hosts import container_ids, docker, inspect

ROOT = Path(__file__).parents[2]


def run(*argv: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> None:
    """Run a program that takes minutes; expect success."""
    done = subprocess.run(
        argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"


def environment(lab: str) -> dict[str, str]:
    """Return what `docker compose` needs for a lab of this name beside the default one."""
    management, underlay, provider, _ = map(str, free_slice().subnets(new_prefix=23))
    return {
        **os.environ,
        "COMPOSE_PROJECT_NAME": f"fakevm-{lab}",
        "FAKEVM_LAB": lab,
        "FAKEVM_MANAGEMENT_SUBNET": management,
        "FAKEVM_UNDERLAY_SUBNET": underlay,
        "FAKEVM_PROVIDER_SUBNET": provider,
        "FAKEVM_API_PORT": str(free_port()),
    }


def networks(lab: str | None = None) -> list[dict[str, Any]]:
    """Return a lab's networks as Docker shows them; all of this machine's without a lab."""
    label = ("--filter", f"label=fakevm.lab={lab}") if lab else ()
    ids = docker("network", "ls", "-q", *label).split()
    return list(json.loads(docker("network", "inspect", *ids))) if ids else []


def subnets(lab: str | None = None) -> dict[str, ipaddress.IPv4Network]:
    """Return the IPv4 subnets of those networks, by the network's id."""
    return {
        network["Id"]: ipaddress.IPv4Network(config["Subnet"])
        for network in networks(lab)
        for config in network["IPAM"]["Config"] or []
        if ":" not in config["Subnet"]
    }


def free_slice() -> ipaddress.IPv4Network:
    """Return the last /21 of the range for labs that no network of this machine is in."""
    taken = subnets().values()
    slices = reversed(list(ipaddress.IPv4Network("198.18.0.0/15").subnets(new_prefix=21)))
    return next(s for s in slices if not any(s.overlaps(network) for network in taken))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def published_ports(lab: str) -> dict[str, list[dict[str, str]]]:
    """Return where the ports of a lab are published, by the container's host name."""
    found = {}
    for container in inspect(list(container_ids(lab).values())):
        ports = container["NetworkSettings"]["Ports"] or {}
        published = [place for places in ports.values() for place in places or []]
        if published:
            found[container["Config"]["Hostname"]] = published
    return found


def leftovers(lab: str) -> list[str]:
    """Return all that carries a lab's label: containers' ids, the names of networks and volumes."""
    label = ("--filter", f"label=fakevm.lab={lab}")
    return [
        *docker("ps", "-aq", *label).split(),
        *docker("network", "ls", "--format", "{{.Name}}", *label).split(),
        *docker("volume", "ls", "-q", *label).split(),
    ]
