"""Every VM reaches every other: between hosts and in one, over tunnels and over a VLAN."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
from typing import Any

import pytest

from tests.integration.cloud import Cloud, Guest
from tests.integration.lab import COMPUTES, Lab
from tests.integration.nightly import by_night

VLAN: dict[str, Any] = {
    "provider_network_type": "vlan",
    "provider_physical_network": "physnet1",
    "provider_segmentation_id": 101,
}
# Many times a TCP window, so that wrong checksums and a wrong MTU show.
BYTES = 4 * 1024 * 1024


@pytest.mark.parametrize("kind", by_night("tunnel", "vlan"))
def test_two_vms_on_each_of_three_hosts_all_pairs(cloud: Cloud, kind: str) -> None:
    tunnel = {"provider_network_type": cloud.lab.tunnel_type}
    network = cloud.network(cidr="10.3.0.0/24", **(VLAN if kind == "vlan" else tunnel))
    where = {f"{host}-{n}": host for n in (1, 2) for host in COMPUTES}
    guests = cloud.guests(network, where)
    assert len({guest.ip for guest in guests}) == 6
    answered_by_kernels = unreachable(cloud.lab)

    for source in guests:
        others = [guest.ip for guest in guests if guest is not source]
        # All at once from one VM; fping is not in every image.
        script = " & ".join(
            f"ping -n -c 2 -i 0.2 -w 20 {ip} > /dev/null && echo {ip}" for ip in others
        )
        answered = source.exec("sh", "-c", f"{script} & wait").split()
        assert sorted(answered) == sorted(others), f"{source.host_name} {source.ip}"

    same_host, other_host = guests[0], guests[1]
    assert guests[3].host_name == same_host.host_name != other_host.host_name
    for a, b in itertools.pairwise((guests[3], same_host, other_host)):
        assert transfer(a, b) == hashlib.sha256(b"\0" * BYTES).hexdigest()
    # The kernel hears the underlay beside the userspace datapath, and is to say nothing of it.
    assert unreachable(cloud.lab) == answered_by_kernels


def unreachable(lab: Lab) -> dict[str, int]:
    """Return how often each host's kernel has told a peer that nobody listens there."""
    command = ("nstat", "--json", "-asz", "IcmpOutDestUnreachs")
    return {
        name: json.loads(host.run(*command))["kernel"]["IcmpOutDestUnreachs"]
        for name, host in lab.hosts().items()
    }


def transfer(source: Guest, target: Guest) -> str:
    """Send BYTES zeros over TCP from one VM to another; return the hash of what arrived."""
    fakevm = source.lab.fakevm
    server = fakevm.start(
        "exec", source.port_id, "--",
        "socat", "-u", f"OPEN:/dev/zero,readbytes={BYTES}", "TCP-LISTEN:7001,reuseaddr",
    )  # fmt: skip
    try:
        arrived = subprocess.run(
            (
                fakevm.executable, "exec", target.port_id, "--",
                "socat", "-u", f"TCP:{source.ip}:7001,retry=100,interval=0.1", "STDOUT",
            ),
            stdout=subprocess.PIPE,
            timeout=120,
            env=fakevm.environment(),
            check=True,
        ).stdout  # fmt: skip
        assert server.wait(timeout=60) == 0
    finally:
        server.kill()
        server.communicate()
    return hashlib.sha256(arrived).hexdigest()
