"""Ctrl-C, and a host that stops, at the worst moment: a defined state; again succeeds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import pytest

from tests.integration.cloud import Cloud, Guest, places
from tests.integration.command import interrupt_when
from tests.integration.hosts import docker
from tests.integration.lab import Lab
from tests.integration.traffic import Ping
from tests.waiting import wait_until


def port_named(lab: Lab, name: str) -> list[str]:
    return [port.id for port in lab.sdk.network.ports(name=name)]


@pytest.mark.nightly
@pytest.mark.parametrize("step", ["port", "plugged"])
def test_create_port(lab: Lab, cloud: Cloud, step: str) -> None:
    network = cloud.network(cidr="10.10.0.0/24")
    host = lab.host("compute-1")
    name = f"{cloud.prefix}-p"
    command = (
        "create-port", "--host", "compute-1", "--address", "static", "--name", name, network, "vm",
    )  # fmt: skip
    vms = host.vm_names()
    steps: dict[str, Callable[[], object]] = {
        "port": lambda: port_named(lab, name),
        "plugged": lambda: set(host.interfaces()) & set(port_named(lab, name)),
    }
    process = lab.fakevm.start(*command)
    interrupt_when(process, step, steps[step])
    if process.returncode == 0:  # It was faster.
        assert len(port_named(lab, name)) == 1
        lab.fakevm.ok("delete-port", name)
    assert port_named(lab, name) == []
    assert host.vm_names() == vms

    assert lab.fakevm.ok(*command)
    assert len(port_named(lab, name)) == 1


@pytest.fixture(scope="module")
def guests(lab: Lab) -> Iterator[tuple[Guest, Guest]]:
    """A VM that looks on, and one that is to migrate."""
    with Cloud(lab, "interrupts") as cloud:
        network = cloud.network(cidr="10.10.1.0/24")
        a, b = cloud.guests(network, {"looks on": "compute-1", "migrates": "compute-2"})
        yield a, b


@pytest.mark.nightly
@pytest.mark.parametrize("step", ["bound", "plugged", "activated"])
def test_migrate(lab: Lab, guests: tuple[Guest, Guest], step: str) -> None:
    a, b = guests
    here, there = places(lab, b)
    target = lab.host(there)

    def hosts() -> dict[str, str]:
        return dict(lab.bindings(b.port_id))

    steps: dict[str, Callable[[], object]] = {
        "bound": lambda: there in hosts(),
        "plugged": lambda: b.port_id in target.interfaces(),
        "activated": lambda: hosts().get(there) == "ACTIVE",
    }
    process = lab.fakevm.start("migrate", there, b.port_id)
    interrupt_when(process, step, steps[step])

    arrived = hosts().get(there) == "ACTIVE"
    b.assert_wholly_on(there if arrived else here)
    if not arrived:
        lab.migrate(there, b.port_id)
        b.assert_wholly_on(there)
    a.ping(b.ip)


@pytest.mark.nightly
def test_a_host_that_stops_in_the_middle_of_a_plug(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.10.0.0/24")
    a = cloud.guest(network, "a", "compute-1")
    there = cloud.guest(network, "there", "compute-3")
    name = f"{cloud.prefix}-p"
    command = (
        "create-port", "--host", "compute-3", "--address", "static", "--name", name, network, "vm",
    )  # fmt: skip
    host = lab.host("compute-3")
    before = set(host.interfaces())
    # With ovs-vswitchd at a stand, the plug is under way for as long as it takes.
    host.signal("STOP", "ovs-vswitchd", "unix:")
    process = lab.fakevm.start(*command)
    wait_until("the port", lambda: port_named(lab, name) or process.poll() is not None)
    wait_until("the plug", lambda: _half_plugged(host.links(), lab, name), interval_s=0.05)
    docker("kill", host.container)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 5, stderr
    assert "compute-3" in stderr
    assert "Traceback" not in stderr
    assert port_named(lab, name) == []

    docker("start", host.container)
    lab.wait_until_healthy("compute-3")
    wait_until("its VM", lambda: there.instance_id in host.vm_names())
    # Neutron has not seen that the port was away: only its packets tell when it is wired again.
    with Ping(a.host, a.instance_id, there.ip) as ping:
        ping.wait_for_replies(5)
    lab.fakevm.ok(*command)
    # Of the half-made VIF nothing is left that cleanup does not find.
    lab.fakevm.ok("cleanup")
    assert set(host.interfaces()) == {*before, *port_named(lab, name)}


def _half_plugged(links: Collection[str], lab: Lab, name: str) -> bool:
    return any(f"tap{port}"[:14] in links for port in port_named(lab, name))
