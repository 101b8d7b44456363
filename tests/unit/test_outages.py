"""What is broken on purpose: which orders go to which hosts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fakevm.clients.containers import Container
from fakevm.clients.parts import Parts
from fakevm.errors import ConfigError, ConflictError, NotFoundError, UnavailableError
from fakevm.outages.links import netem
from fakevm.outages.target import find
from fakevm.outages.verbs import Outages
from tests.fakes.engine import FakeEngine, make_container

ONE, TWO = (make_container(f"compute-{n}", role="compute", id=f"{n}" * 64) for n in (1, 2))
NETWORK = make_container("network-1", role="network", id="n" * 64)
RABBITMQ = make_container("rabbitmq", id="r" * 64)


class PoweredEngine(FakeEngine):
    """Remembers what was done with its containers."""

    def __init__(self, *containers: Container) -> None:
        super().__init__(*containers)
        self.done: list[tuple[str, str]] = []

    def start(self, container: Container) -> None:
        self.done.append(("start", container.service))

    def stop(self, container: Container) -> None:
        self.done.append(("stop", container.service))

    def kill(self, container: Container) -> None:
        self.done.append(("kill", container.service))

    def address(self, container: Container, role: str) -> str:
        return f"{role}-of-{container.service}"


@pytest.fixture
def engine() -> PoweredEngine:
    return PoweredEngine(ONE, TWO, NETWORK, RABBITMQ)


@pytest.fixture
def outages(engine: PoweredEngine) -> Outages:
    return Outages(Parts("fakevm", engine=engine), engine=engine)


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The orders that hosts were given by `docker exec`, one a line; nova-events is silent."""
    told = tmp_path / "orders"
    told.touch()
    program = tmp_path / "docker"
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        '*"host-outage stop nonsense") exit 3 ;;\n'
        '*"host-outage slow"*) echo "qdisc kind is unknown" >&2; exit 4 ;;\n'
        '*"ls /run/services") echo bridges l2-agent; exit ;;\n'
        f'*host-outage*) echo "$@" >>"{told}" ;;\n'
        "*) exit 1 ;;\n"
        "esac\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return told


def given(orders: Path) -> list[str]:
    """Return each order as "HOST WORDS"."""
    lines = (line.split() for line in orders.read_text(encoding="utf-8").splitlines())
    return [f"{words[1][7:-2]} {' '.join(words[3:])}" for words in lines]


def test_a_container_is_stopped_killed_and_started(engine: PoweredEngine, outages: Outages) -> None:
    outages.stop("rabbitmq")
    outages.kill("compute-2")
    outages.start("compute-2", timeout_s=1)
    assert engine.done == [("stop", "rabbitmq"), ("kill", "compute-2"), ("start", "compute-2")]


def test_a_process_is_ordered_in_its_host(outages: Outages, orders: Path) -> None:
    outages.stop("l2-agent@compute-2")
    outages.start("l2-agent@compute-2")
    outages.kill("ovs-vswitchd@network-1")
    assert given(orders) == [
        "compute-2 stop l2-agent",
        "compute-2 start l2-agent",
        "network-1 kill ovs-vswitchd",
    ]


def test_a_link_is_cut_at_both_hosts_ends(outages: Outages, orders: Path) -> None:
    assert outages.cut("compute-1", "compute-2") == "underlay"
    assert outages.mend("compute-1", "compute-2") == "underlay"
    assert given(orders) == [
        "compute-1 cut underlay underlay-of-compute-2 compute-2",
        "compute-2 cut underlay underlay-of-compute-1 compute-1",
        "compute-1 mend underlay underlay-of-compute-2 compute-2",
        "compute-2 mend underlay underlay-of-compute-1 compute-1",
    ]


def test_a_link_to_a_service_is_cut_at_the_host_s_end(outages: Outages, orders: Path) -> None:
    assert outages.cut("compute-1", "rabbitmq") == "management"
    assert outages.cut("compute-1") == "management"
    assert outages.cut("compute-1", network="provider") == "provider"
    assert given(orders) == [
        "compute-1 cut management management-of-rabbitmq rabbitmq",
        "compute-1 cut management",
        "compute-1 cut provider",
    ]


@pytest.mark.parametrize(
    ("host", "peer", "network", "words"),
    [
        ("rabbitmq", None, None, "is no host"),
        ("compute-1", "compute-1", None, "no link to itself"),
        ("compute-1", "rabbitmq", "underlay", "not on the underlay"),
        ("compute-1", "compute-2", "provider", "VMs' addresses"),
    ],
)
def test_a_link_that_is_none_is_refused(
    outages: Outages, orders: Path, host: str, peer: str | None, network: str | None, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        outages.cut(host, peer, network=network)
    assert given(orders) == []


@pytest.mark.parametrize(
    ("ref", "kind", "words"),
    [
        ("compute-9", NotFoundError, "no 'compute-9', but compute-1, compute-2, network-1"),
        ("l2-agent@", ConfigError, "PROCESS@HOST is expected"),
        ("@compute-1", ConfigError, "PROCESS@HOST is expected"),
        ("beam@rabbitmq", ConfigError, "rabbitmq is no host"),
    ],
)
def test_what_is_not_there_is_named(
    engine: PoweredEngine, ref: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        find(Parts("fakevm", engine=engine), ref)


def test_a_process_that_a_host_has_not_is_told_with_those_it_has(
    outages: Outages, orders: Path
) -> None:
    with pytest.raises(NotFoundError, match="no process 'nonsense', but bridges, l2-agent"):
        outages.stop("nonsense@compute-1")


def test_nothing_is_ordered_in_a_host_that_is_stopped(
    engine: PoweredEngine, outages: Outages, orders: Path
) -> None:
    engine.end("compute-1")
    with pytest.raises(UnavailableError, match="compute-1 is exited") as caught:
        outages.stop("l2-agent@compute-1")
    assert caught.value.hint == "fakevm start compute-1"
    with pytest.raises(ConflictError, match="compute-1 is exited: nothing of it"):
        outages.kill("compute-1")
    assert given(orders) == []


def test_without_netem_a_slow_link_is_a_clear_error(outages: Outages, orders: Path) -> None:
    with pytest.raises(UnavailableError, match="no netem") as caught:
        outages.slow("compute-1", "underlay", ["delay", "10ms"])
    assert "fakevm cut" in caught.value.hint
    outages.slow("compute-1", "underlay", ())
    assert given(orders) == ["compute-1 quick underlay"]


def test_netem_has_its_own_words() -> None:
    assert netem(delay_ms=20, jitter_ms=5, loss_percent=1.5) == [
        *("delay", "20ms", "5ms", "loss", "1.5%"),
    ]
    assert netem(delay_ms=None, jitter_ms=None, loss_percent=0) == ["loss", "0%"]
    for wrong in (None, 5.0):
        with pytest.raises(ConfigError):
            netem(delay_ms=None, jitter_ms=wrong, loss_percent=None)
