"""A lab of three hosts that needs no Docker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException

import pytest

from fakevm.lab import Lab
from fakevm.probes.end import PROGRAM
from fakevm.protocol import lock
from tests.fakes.cloud import FakeCloud
from tests.fakes.engine import FakeEngine, make_container
from tests.fakes.events import LocalNovaEvents
from tests.fakes.host import FakeAgent, FakeHost, FakeStream
from tests.fakes.neutron import FakeNeutron, make_network, make_subnet
from tests.fakes.probe import FakeNet


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test find an engine, so that none needs one unnoticed; nor what the user has set."""
    for name in [name for name in os.environ if name.startswith("FAKEVM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")


@pytest.fixture(autouse=True)
def locks_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep apart what tests at once, and a lab that runs beside them, may lock by one name."""
    monkeypatch.setattr(lock, "PREFIX", f"\0fakevm-unit-{os.getpid()}/")


@dataclass
class World:
    """A lab and all that it talks to."""

    hosts: dict[str, FakeHost]
    agents: dict[str, FakeAgent]
    neutron: FakeNeutron
    engine: FakeEngine
    events: LocalNovaEvents = field(default_factory=LocalNovaEvents)
    said: list[str] = field(default_factory=list)

    def lab(self) -> Lab:
        return Lab(
            engine=self.engine,
            neutron=self.neutron,
            open_stream=self.stream,
            agent_s=5,
            say=self.said.append,
        )

    def lab_saying(self, tell: Callable[[str], None]) -> Lab:
        lab = self.lab()
        lab.say = tell
        return lab

    def stream(self, container: str) -> FakeStream:
        service = container[len("fakevm-") : -len("-1")]
        return (self.events if service == "nova-events" else self.agents[service]).stream()


@pytest.fixture
def world() -> Iterator[World]:
    hosts = {name: FakeHost(name) for name in ("compute-1", "compute-2", "compute-3")}
    control = ("nova-events", "mariadb", "rabbitmq", "neutron-api", "neutron-rpc", "network-1")
    world = World(
        hosts=hosts,
        agents={name: FakeAgent(host) for name, host in hosts.items()},
        neutron=FakeNeutron(
            hosts,
            make_network("net", make_subnet(1)),
        ),
        engine=FakeEngine(*map(make_container, (*control, *hosts))),
    )

    def emit(name: str, instance_id: str, port_id: str) -> None:
        # A fake host may still be at work when its test has ended.
        with suppress(OSError, HTTPException):
            world.events.emit(name, instance_id, port_id)

    world.neutron.emit = emit
    yield world
    world.events.close()


@pytest.fixture
def cloud(world: World) -> FakeCloud:
    """Let the lab have a Neutron that knows all that a lab file makes."""
    made = FakeCloud(world.hosts)
    made.emit = world.neutron.emit
    world.neutron = made
    return made


@pytest.fixture
def lab(world: World) -> Iterator[Lab]:
    with world.lab() as lab:
        yield lab


@pytest.fixture
def net(world: World) -> FakeNet:
    """What the packets of a prober go through; it follows the VM."""
    net = FakeNet(vm_on="compute-2")
    for name, agent in world.agents.items():
        # compute-1 has the prober, compute-2 the VM.
        agent.programs[PROGRAM] = net.program(name, vm=name != "compute-1")

    def follow(host: str) -> Callable[[str], None]:
        def before(method: str) -> None:
            if method in ("suspend", "resume"):
                net.vm_on = "" if method == "suspend" else host

        return before

    for name, host in world.hosts.items():
        host.before = follow(name)
    return net
