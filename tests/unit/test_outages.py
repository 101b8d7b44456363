"""What is broken on purpose: which orders go to which hosts."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fakevm.cli.root import cli
from fakevm.cli.session import Session
from fakevm.clients.containers import Container
from fakevm.clients.parts import Parts
from fakevm.errors import ConfigError, ConflictError, FakevmError, NotFoundError, UnavailableError
from fakevm.lab import Lab
from fakevm.library.behind.breaking import Breaking
from fakevm.outages import undo
from fakevm.outages.links import netem
from fakevm.outages.target import find
from fakevm.outages.verbs import Outages
from tests.fakes.engine import FakeEngine, make_container

SBIN = Path(__file__).resolve().parents[2] / "images/host/files/usr/local/sbin"

# A program that a script calls; iptables ends a loop over all of a rule's copies.
REMEMBER = """#!/bin/sh
echo "${0##*/} $*" >>"${0%/*}/called"
case "${0##*/} $*" in "iptables -w -D "*) exit 1 ;; esac
"""

ONE, TWO = (make_container(f"compute-{n}", role="compute", id=f"{n}" * 64) for n in (1, 2))
NETWORK = make_container("network-1", role="network", id="n" * 64)
RABBITMQ = make_container("rabbitmq", id="r" * 64)


class PoweredEngine(FakeEngine):
    """Remembers what was done with its containers."""

    def __init__(self, *containers: Container) -> None:
        super().__init__(*containers)
        self.done: list[tuple[str, str]] = []
        # Called while a container is stopped.
        self.meanwhile: Callable[[], object] = lambda: None

    def start(self, container: Container) -> None:
        self.done.append(("start", container.service))

    def stop(self, container: Container) -> None:
        self.meanwhile()
        self.done.append(("stop", container.service))

    def kill(self, container: Container) -> None:
        self.done.append(("kill", container.service))

    def address(self, container: Container, role: str) -> str:
        return f"{role}-of-{container.service}"


@pytest.fixture
def engine() -> PoweredEngine:
    return PoweredEngine(ONE, TWO, NETWORK, RABBITMQ)


class OutagesSession(Session):
    """The command line on a lab of that engine."""

    def __init__(self, engine: PoweredEngine) -> None:
        self.engine = engine

    def lab(self, *, timeout_s: float | None = None) -> Lab:
        return Lab(engine=self.engine)


def fakevm(engine: PoweredEngine, *args: str) -> Result:
    return CliRunner().invoke(cli, args, obj=OutagesSession(engine))


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
        f'*"host-outage cut"*compute-1) [ ! -e "{tmp_path}/refuse" ] || exit 1 ;;\n'
        "esac\n"
        'case "$*" in\n'
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
        "compute-1 mend underlay compute-2",
        "compute-2 mend underlay compute-1",
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


def test_a_link_is_mended_though_a_host_at_its_end_is_stopped(
    engine: PoweredEngine, outages: Outages, orders: Path
) -> None:
    engine.end("compute-2")
    outages.mend("compute-1", "compute-2")
    outages.mend("compute-2", "compute-1")
    outages.mend("compute-2")
    assert given(orders) == ["compute-1 mend underlay compute-2"] * 2
    # Who is paused keeps what he drops.
    engine.end("compute-2", state="paused")
    outages = Outages(Parts("fakevm", engine=engine), engine=engine)
    with pytest.raises(UnavailableError, match="compute-2 is paused"):
        outages.mend("compute-2", "compute-1")
    assert given(orders) == ["compute-1 mend underlay compute-2"] * 3


@dataclass(frozen=True, kw_only=True)
class HostOutage:
    """host-outage as a host has it, in a folder; its programs are remembered, and do nothing."""

    folder: Path

    def __call__(self, *words: str) -> list[str]:
        """Give it an order; return what it has called, or said."""
        called = self.folder / "called"
        called.write_text("", encoding="utf-8")
        done = subprocess.run(
            ("bash", self.folder / "host-outage", *words),
            env={
                "PATH": f"{self.folder}:{os.environ['PATH']}",
                "FAKEVM_PEERS": "192.0.2.1 192.0.2.2",
                "FAKEVM_UNDERLAY_GATEWAY": "198.18.218.1",
            },
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return [*called.read_text(encoding="utf-8").splitlines(), *done.stdout.splitlines()]


@pytest.fixture(params=["netdev", "system"])
def host_outage(tmp_path: Path, request: pytest.FixtureRequest) -> HostOutage:
    scripts = {
        name: (SBIN / name).read_text(encoding="utf-8") for name in ("host-outage", "host-peers")
    }
    run = tmp_path / "run"
    run.mkdir()
    (run / "datapath").write_text(f"{request.param}\n", encoding="utf-8")
    (run / "underlay").write_text("eth1 02:42:c6:12:da:02 198.18.218.2/24\n", encoding="utf-8")
    (run / "provider").write_text("eth2 02:42:c6:13:da:02 198.19.218.2/24\n", encoding="utf-8")
    programs = dict.fromkeys(("ip", "iptables", "ovs-ofctl", "ovs-appctl"), REMEMBER)
    for name, text in {**programs, **scripts}.items():
        (tmp_path / name).write_text(text.replace("/run/fakevm", str(run)), encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    return HostOutage(folder=tmp_path)


def test_a_link_is_mended_by_the_addresses_that_it_was_cut_by(host_outage: HostOutage) -> None:
    host_outage("cut", "underlay", "198.18.218.3", "compute-2")
    host_outage("cut", "underlay", "198.18.218.4", "compute-3")
    host_outage("cut", "management", "198.18.0.3", "compute-2")
    # It has come back with another address.
    host_outage("cut", "underlay", "198.18.218.5", "compute-2")
    called = " ".join(host_outage("mend", "underlay", "compute-2"))
    assert [n for n in range(2, 6) if f"198.18.218.{n}" in called] == [3, 5]
    assert host_outage("list") == ["cut management compute-2", "cut underlay compute-3"]
    assert host_outage("mend", "underlay", "compute-2") == []
    assert "198.18.0.3" in " ".join(host_outage("mend", "management", "compute-2"))
    assert host_outage("list") == ["cut underlay compute-3"]


def test_with_a_host_s_underlay_come_its_ways_to_peers_elsewhere(host_outage: HostOutage) -> None:
    assert host_outage("cut", "underlay") == ["ip link set eth1 down"]
    assert host_outage("list") == ["cut underlay"]
    up, *ways = host_outage("mend", "underlay")
    assert up == "ip link set eth1 up"
    routes = [f"ip route replace 192.0.2.{n} via 198.18.218.1 dev eth1 table 4789" for n in (1, 2)]
    # Those of userspace tunnels are by a bridge, which stays up.
    kernel = (host_outage.folder / "run" / "datapath").read_text(encoding="utf-8") == "system\n"
    assert [way for way in ways if "route" in way] == (routes if kernel else [])
    assert ("ip rule add from 198.18.218.2 lookup 4789" in ways) is kernel
    assert host_outage("mend", "provider") == ["ip link set eth2 up"]
    assert host_outage("list") == []


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


def test_nothing_is_stopped_if_one_of_them_is_not_there(
    engine: PoweredEngine, orders: Path
) -> None:
    for words in ((), ("--for", "0.01")):
        result = fakevm(engine, "stop", *words, "compute-1", "compute-22", "rabitmq")
        assert (result.exit_code, engine.done) == (3, [])
        assert "no 'compute-22'" in result.stderr
        assert "no 'rabitmq'" in result.stderr


def test_what_is_stopped_for_a_time_is_started_if_another_is_refused(
    engine: PoweredEngine, orders: Path
) -> None:
    result = fakevm(engine, "stop", "rabbitmq", "nonsense@compute-1", "compute-2", "--for", "9")
    assert engine.done == [
        *[("stop", "rabbitmq"), ("stop", "compute-2")],
        *[("start", "rabbitmq"), ("start", "compute-2")],
    ]
    assert result.exit_code == 3
    assert result.stderr.count("no process 'nonsense'") == 1


def test_ctrl_c_while_one_is_stopped_starts_it_again(engine: PoweredEngine, orders: Path) -> None:
    engine.meanwhile = lambda: signal.raise_signal(signal.SIGINT)
    result = fakevm(engine, "stop", "compute-1", "compute-2", "--for", "9")
    # The engine goes on with a stop that nobody waits for.
    assert engine.done == [("stop", "compute-1"), ("start", "compute-1")]
    assert result.exit_code == 130
    engine.done.clear()
    with pytest.raises(KeyboardInterrupt), Breaking(engine=engine).stopped("rabbitmq"):
        pytest.fail("it was interrupted before")
    assert engine.done == [("stop", "rabbitmq"), ("start", "rabbitmq")]


def test_half_a_cut_is_mended(engine: PoweredEngine, orders: Path) -> None:
    orders.with_name("refuse").touch()
    result = fakevm(engine, "cut", "compute-1", "compute-2", "--for", "9")
    assert result.exit_code == 1
    both = [words.split()[:3] for words in given(orders)]
    assert both == [
        ["compute-1", "cut", "underlay"],
        *[["compute-1", "mend", "underlay"], ["compute-2", "mend", "underlay"]],
    ]
    orders.write_text("", encoding="utf-8")
    with pytest.raises(FakevmError), Breaking(engine=engine).cut("compute-1", "compute-2"):
        pytest.fail("it was refused")
    assert [words.split()[:3] for words in given(orders)] == both


def test_a_failure_is_told_before_what_could_not_be_undone() -> None:
    def refuse() -> None:
        raise FakevmError("compute-1 is paused")

    with pytest.raises(ZeroDivisionError) as caught, undo.at_the_end(refuse):
        _ = 1 / 0
    assert caught.value.__notes__ == ["and compute-1 is paused"]
    with pytest.raises(FakevmError, match="is paused"), undo.at_the_end(refuse):
        pass
