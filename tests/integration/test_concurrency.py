"""Many commands at a time on the same hosts, the same VM, the same VIF."""

from __future__ import annotations

import json

import pytest

from tests.integration.cloud import Cloud, guest_of
from tests.integration.lab import COMPUTES, Lab

PLUGS = 6


@pytest.mark.nightly
def test_plugs_at_once_make_each_vif_once(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.12.0.0/24")
    processes = [
        lab.fakevm.start(
            "create-port",
            "-f",
            "json",
            "--address",
            "static",
            "--host",
            host,
            network,
            f"{host}-{n}",
        )
        for n in range(PLUGS // 3)
        for host in COMPUTES
    ]
    processes.append(
        lab.fakevm.start(
            "create-port", "-f", "json", "--address", "static", "--host", "compute-1",
            network, "compute-1-0",
        )
    )  # fmt: skip
    # What is half-made is no leftover.
    cleanups = [lab.fakevm.start("cleanup", "-f", "json") for _ in range(2)]
    made = []
    for process in processes:
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        made.append(guest_of(lab, json.loads(out)))
    for cleanup in cleanups:
        out, err = cleanup.communicate(timeout=200)
        assert (cleanup.returncode, json.loads(out)) == (0, []), err
    assert len({guest.ip for guest in made}) == len(made)
    for guest in made:
        assert lab.hosts_with(guest.port_id) == [guest.host_name]


@pytest.mark.nightly
def test_one_vif_plugged_and_unplugged_at_once_ends_whole(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.12.0.0/24")
    a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-2"})
    verbs = ("plug", "unplug", "plug", "unplug", "plug")
    processes = [(verb, lab.fakevm.start(verb, a.port_id)) for verb in verbs]
    for verb, process in processes:
        _, err = process.communicate(timeout=120)
        # Whose VIF another one unplugs again while it waits for its addresses, says so.
        assert process.returncode == 0 or (verb == "plug" and "is not plugged" in err), err
    there = lab.hosts_with(a.port_id) == ["compute-1"]
    assert (a.instance_id in a.host.vm_names()) == there
    assert (f"tap{a.port_id}"[:14] in a.host.links()) == there
    lab.fakevm.ok("plug", a.port_id)
    b.ping(a.ip)
