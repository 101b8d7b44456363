"""Many VMs on the move at once: each arrives whole, and nothing is left of its way."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from fakevm.inventory.rows import Row
from fakevm.lab import Lab as Library
from fakevm.migrate.request import MigrationRequest
from fakevm.vms.requests import PortRequest
from tests.integration.cloud import Cloud
from tests.integration.lab import COMPUTES, Lab, migrate

COUNT = 20
T = TypeVar("T")
R = TypeVar("R")


def at_once(work: Callable[[T], R], things: Iterable[T], *, side_by_side: int = COUNT) -> list[R]:
    with ThreadPoolExecutor(side_by_side) as pool:
        return [future.result() for future in [pool.submit(work, thing) for thing in things]]


@pytest.mark.nightly
def test_twenty_vms_at_once_between_three_hosts(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.73.0.0/24")
    sources = [COMPUTES[number % 3] for number in range(COUNT)]
    destination = dict(zip(COMPUTES, (*COMPUTES[1:], COMPUTES[0]), strict=True))
    with Library(lab.name) as library:

        def boot(host: str) -> Row:
            request = PortRequest(
                network=network,
                instance=str(uuid.uuid4()),
                host=host,
                port_security=False,
                addressing="static",
            )
            return library.create_port(request, timeout_s=180).row

        def move(row: Row) -> None:
            request = MigrationRequest(destination=destination[row.host], timeout_s=180)
            migrate(library, row.port_id, request)

        rows = at_once(boot, sources, side_by_side=8)
        at_once(move, rows)

    # With other tools than fakevm: Neutron's API, ovs-vsctl, ip.
    homes = {row.port_id: destination[row.host] for row in rows}
    for host in COMPUTES:
        here = lab.host(host)
        mine = [row for row in rows if homes[row.port_id] == host]
        assert here.interfaces().keys() & homes.keys() == {row.port_id for row in mine}
        vms = {row.instance_id for row in rows}
        assert here.vm_names() & vms == {row.instance_id for row in mine}
        left = {f"tap{row.port_id}"[:14] for row in rows} & here.links().keys()
        assert left == {f"tap{row.port_id}"[:14] for row in mine}
    for port_id, home in homes.items():
        port = lab.sdk.network.get_port(port_id)
        assert port.binding_host_id == home
        # Of ML2/OVN some are DOWN, although they work: scenario Q.
        assert port.status == "ACTIVE" or lab.backend == "ovn"
        assert lab.bindings(port_id) == [(home, "ACTIVE")]
    # Each reaches one on another host.
    ips = [row.fixed_ips[0]["ip_address"] for row in rows]
    for number in range(3):
        argv = ("ping", "-n", "-c", "3", "-i", "0.2", "-W", "5", ips[number + 1])
        lab.fakevm.ok("exec", rows[number].port_id, "--", *argv)
