"""What the lab's containers say, as `fakevm logs` shows it and packs it for a bug report."""

from __future__ import annotations

import itertools
import json
import queue
import re
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.cloud import Cloud, Guest
from tests.integration.hosts import container_ids, docker, inspect
from tests.integration.lab import COMPUTES, Lab
from tests.waiting import wait_until

TIMEOUT_S = 60

# Of each backend a process of compute hosts that says much.
TALKS = {"ovs": "l2-agent", "ovn": "metadata-agent"}


class Follower:
    """`fakevm logs --follow`, as it is read."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def first(self, wanted: Callable[[str], object], *, timeout_s: float = TIMEOUT_S) -> str:
        """Return the first line that is wanted, "" if there is none in time."""
        deadline = time.monotonic() + timeout_s
        with suppress(queue.Empty):
            while True:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
                if wanted(line):
                    return line
        return ""


@contextmanager
def following(lab: Lab, *args: str) -> Iterator[Follower]:
    process = lab.fakevm.start("logs", "--follow", *args)
    try:
        yield Follower(process)
    finally:
        process.kill()
        process.wait(TIMEOUT_S)


def test_lines_of_all_are_in_the_order_of_time(lab: Lab, pair: tuple[Guest, Guest]) -> None:
    out = lab.fakevm.ok("logs", "--tail", "50", "--format", "json")
    lines = [json.loads(text) for text in out.splitlines()]
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    said = {line["container"] for line in lines}
    assert (
        {"neutron-api", "mariadb", "nova-events", *COMPUTES} <= said <= set(container_ids(lab.name))
    )
    assert {line["process"] for line in lines if line["container"] == "mariadb"} == {""}
    assert TALKS[lab.backend] in {line["process"] for line in lines}


def test_each_request_to_neutron_is_told(lab: Lab, pair: tuple[Guest, Guest]) -> None:
    port = pair[0].port_id
    lab.sdk.network.get_port(port)
    said = lab.fakevm.ok("logs", "--tail", "100", "neutron-api")
    assert re.search(rf'"GET /v2.0/ports/{port} HTTP/1.1" status: 200 len: \d+ time: \d+ ms', said)


def test_one_process_of_one_host_is_told_apart(lab: Lab, pair: tuple[Guest, Guest]) -> None:
    process = TALKS[lab.backend]
    out = lab.fakevm.ok("logs", "--tail", "5", "--process", process, "compute-1")
    lines = out.splitlines()
    assert len(lines) == 5
    assert all(line.startswith(f"compute-1 {process} |") for line in lines)
    there = docker("logs", container_ids(lab.name)["compute-1"], merge=True)
    (text,) = re.findall(r"\| (.*)", lines[0])
    assert f"{process}: {text}" in there


def test_what_is_unknown_is_told_with_what_is_known(lab: Lab) -> None:
    error = lab.fakevm.fails(3, "logs", "compute-77")
    assert "compute-77" in error
    assert all(name in error for name in ("neutron-api", *COMPUTES))
    error = lab.fakevm.fails(3, "logs", "--process", "l9-agent", "compute-1")
    assert "l9-agent" in error
    assert TALKS[lab.backend] in error


@pytest.mark.ovs
def test_following_shows_what_an_edit_makes_an_agent_say(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.88.0.0/24")
    guest = cloud.guest(network, "a", "compute-1")
    edits = itertools.cycle((False, True))
    with following(lab, "--tail", "0", "--process", "l2-agent", "compute-1") as follower:
        # The first edits may come before it listens.
        def heard() -> str:
            lab.sdk.network.update_port(guest.port_id, admin_state_up=next(edits))
            return follower.first(lambda line: guest.port_id in line, timeout_s=5)

        line = wait_until("what the agent says of an edit", heard, timeout_s=TIMEOUT_S)
        assert line.startswith("compute-1 l2-agent | ")
        follower.process.send_signal(signal.SIGINT)
        assert follower.process.wait(TIMEOUT_S) == 130


@pytest.mark.nightly
def test_following_lives_through_a_host_s_restart(lab: Lab) -> None:
    container = container_ids(lab.name)["compute-3"]
    with following(lab, "--tail", "1", "--format", "json", "compute-3") as follower:
        before = json.loads(follower.first(bool))
        docker("restart", "--time", "5", container)
        (found,) = inspect([container])
        # To the second: the engine leaves zeros at the end out.
        started = found["State"]["StartedAt"][:19]
        after = json.loads(follower.first(lambda line: json.loads(line)["time"][:19] >= started))
        assert after["container"] == "compute-3"
        assert after["time"] > before["time"]
    lab.wait_until_healthy("compute-3")
    if lab.backend == "ovs":
        lab.wait_until_alive("compute-3")


def test_a_pipe_that_is_closed_ends_following_quietly(lab: Lab) -> None:
    process = lab.fakevm.start("logs", "--follow")
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert process.stdout.readline()
        process.stdout.close()
        process.wait(TIMEOUT_S)
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


def secrets(lab: Lab) -> set[str]:
    """Return the lab's passwords, as its containers were given them."""
    found = set()
    for one in inspect(list(container_ids(lab.name).values())):
        for pair in one["Config"]["Env"]:
            name, _, value = pair.partition("=")
            if re.search("PASSWORD|SECRET", name):
                found.add(value)
            found |= set(re.findall(r"://\w+:(\w+)@", value))
    return found - {""}


def unpacked(file: Path) -> dict[str, str]:
    """Return the texts of an archive by their names below its only folder."""
    found = {}
    with tarfile.open(file) as archive:
        for member in archive.getmembers():
            text = archive.extractfile(member)
            assert text
            found[member.name.partition("/")[2]] = text.read().decode()
    return found


@pytest.fixture(scope="module")
def report(
    lab: Lab, pair: tuple[Guest, Guest], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """A bug report's archive, by the names of its files."""
    file = tmp_path_factory.mktemp("report") / "lab.tgz"
    lab.fakevm.ok("logs", "--export", str(file))
    assert [path.name for path in file.parent.iterdir()] == ["lab.tgz"]
    return unpacked(file)


def test_a_report_has_what_can_be_seen(
    lab: Lab, report: dict[str, str], pair: tuple[Guest, Guest]
) -> None:
    services = container_ids(lab.name)
    hosts = {"network-1", *COMPUTES}
    bridge = ("dump-flows", "dump-ports-desc")
    wanted = {
        *(f"logs/{service}.log" for service in services),
        *(f"configuration/{host}.json" for host in ("neutron-api", *hosts)),
        *(f"hosts/{host}/ovs-vsctl-show.txt" for host in hosts),
        *(
            f"hosts/{host}/ovs-vsctl-list-{name}.json"
            for host in hosts
            for name in ("Interface", "Port")
        ),
        *(f"hosts/{host}/ovs-ofctl-{what}-br-int.txt" for host in hosts for what in bridge),
        *(f"hosts/{host}/ip-{what}.txt" for host in hosts for what in ("addr", "netns")),
        *(f"neutron/{name}.json" for name in ("networks", "subnets", "ports", "agents")),
        *(f"versions/{name}.json" for name in ("fakevm", "docker", "compose", "images")),
        *("versions/ovs-vswitchd.txt", "status.json", "events.jsonl"),
    }
    if lab.backend == "ovn":
        wanted |= {
            "services/ovn-central/ovn-nbctl-show.txt",
            "services/ovn-central/ovn-sbctl-list-Port_Binding.txt",
            "versions/ovn-controller.txt",
        }
    assert wanted - set(report) == set()
    assert [name for name in report if name.endswith(".error")] == []
    a = pair[0]
    ports = json.loads(report["neutron/ports.json"])["ports"]
    assert a.port_id in [port["id"] for port in ports]
    assert a.port_id in report["hosts/compute-1/ovs-vsctl-list-Interface.json"]
    assert a.instance_id in report["hosts/compute-1/ip-netns.txt"]
    assert "actions=" in report["hosts/compute-1/ovs-ofctl-dump-flows-br-int.txt"]
    assert json.loads(report["status.json"])["lab"] == lab.name
    # Who keeps them may have restarted since.
    for line in report["events.jsonl"].splitlines():
        assert "port_id" in json.loads(line)
    assert json.loads(report["versions/docker.json"])["Server"]["KernelVersion"]
    # The engine's own time, then the line.
    log = report["logs/compute-1.log"].splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{9}\S+ ", line) for line in log)


def test_a_report_has_no_password(lab: Lab, report: dict[str, str]) -> None:
    passwords = secrets(lab)
    assert passwords
    told = {name: [p for p in passwords if p in text] for name, text in report.items()}
    assert {name for name, found in told.items() if found} == set()


@pytest.mark.nightly
def test_a_report_of_a_lab_that_is_half_down_says_what_is_missing(lab: Lab, tmp_path: Path) -> None:
    stopped = container_ids(lab.name)["compute-3"]
    file = tmp_path / "lab.tgz"
    docker("stop", "--time", "5", stopped)
    try:
        result = lab.fakevm.run("logs", "--export", str(file))
    finally:
        docker("start", stopped)
    assert result.exit_code == 0, f"{result}"
    assert "hosts/compute-3/commands.error says why" in result.stderr
    found = unpacked(file)
    assert "compute-3 is exited" in found["hosts/compute-3/commands.error"]
    assert "fakevm-agent: " in found["logs/compute-3.log"]
    assert "actions=" in found["hosts/compute-1/ovs-ofctl-dump-flows-br-int.txt"]
    lab.wait_until_healthy("compute-3")
    if lab.backend == "ovs":
        lab.wait_until_alive("compute-3")
