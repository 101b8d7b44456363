"""Packets of many points in one file, and what is left in the hosts afterwards."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.cloud import Cloud, Guest
from tests.integration.lab import Lab
from tests.pcapng import Interface, read_pcapng
from tests.waiting import wait_until

TUNNELS = "udp port 4789 or udp port 6081"

# Of an Ethernet frame: what it carries.
RARP = bytes.fromhex("8035")


@contextmanager
def capturing(lab: Lab, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """Capture until Ctrl-C, which is the end that is meant; then nothing is left in the hosts."""
    process = lab.fakevm.start("capture", *argv)
    assert process.stderr is not None
    assert "capturing at" in process.stderr.readline()
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert "dropped by the kernel" in stderr
    assert_nothing_is_left(lab)


def assert_nothing_is_left(lab: Lab) -> None:
    hosts = [*lab.hosts().values(), lab.host("network-1")]
    assert [host.name for host in hosts if host.processes("tcpdump", "--immediate-mode")] == []


def told_by_tcpdump(lab: Lab, file: Path) -> str:
    """Return a file's packets in the words of a host's tcpdump."""
    host = lab.host("compute-1").container
    argv = ("docker", "exec", "--interactive", host, "tcpdump", "-nr", "-")
    with file.open("rb") as stdin:
        done = subprocess.run(argv, stdin=stdin, capture_output=True, check=True, timeout=60)
    return done.stdout.decode()


def test_a_ping_is_seen_in_both_vms_and_in_both_hosts_tunnels(
    lab: Lab, pair: tuple[Guest, Guest], tmp_path: Path
) -> None:
    one, two = pair
    one.ping(two.ip)
    file = tmp_path / "ping.pcapng"
    inside = f"compute-1:{one.instance_id[:13]}:eth0"
    points = (one.port_id, two.port_id, "compute-1", "compute-2", inside)
    with capturing(lab, "-w", str(file), "--filter", f"icmp or {TUNNELS}", *points):
        began = time.time_ns()
        one.exec("ping", "-c", "3", "-i", "0.2", "-s", "1000", two.ip)
        ended = time.time_ns()
        # A point's packets come in their order, and a busy host's later than another's.
        wait_until("every point", lambda: [*map(pings, interfaces(file))] == [3] * 5)
    found = interfaces(file)
    assert [interface.name for interface in found] == [
        "shared-1@compute-1 eth0",
        "shared-2@compute-2 eth0",
        "compute-1 underlay",
        "compute-2 underlay",
        f"compute-1 {one.instance_id[:13]} eth0",
    ]
    assert told_by_tcpdump(lab, file).count(f"{one.ip} > {two.ip}: ICMP echo request") >= 15
    # They are of one clock, which is this machine's, too.
    requests = [at for interface in found for at, data in interface.packets if is_ping(data)]
    assert began <= min(requests) <= max(requests) <= ended


def interfaces(file: Path) -> list[Interface]:
    return read_pcapng(file.read_bytes())


def pings(interface: Interface) -> int:
    """Return how many echo requests of 1000 bytes are in its frames, or in their tunnels."""
    return sum(is_ping(data) for _, data in interface.packets)


def is_ping(frame: bytes) -> bool:
    # The ICMP header's 8 bytes begin with the type.
    return len(frame) >= 1042 and frame[-1008] == 8


@pytest.mark.nightly
def test_a_vm_that_migrates_is_captured_at_its_new_host_from_its_first_frame(
    lab: Lab, cloud: Cloud, tmp_path: Path
) -> None:
    guest = cloud.guest(cloud.network(cidr="10.75.0.0/24"), "moves", "compute-1")
    file = tmp_path / "move.pcapng"
    with capturing(lab, "-w", str(file), guest.port_id):
        lab.migrate("compute-2", guest.port_id)
        wait_until("its frames", lambda: len(interfaces(file)) == 2 and interfaces(file)[1].packets)
    before, after = interfaces(file)
    assert [before.name, after.name] == ["moves@compute-1 eth0", "moves@compute-2 eth0"]
    assert RARP in [data[12:14] for _, data in after.packets]


def test_a_reader_that_goes_away_ends_it(lab: Lab, pair: tuple[Guest, Guest]) -> None:
    one, two = pair
    process = lab.fakevm.start("capture", "compute-1", one.port_id)
    assert process.stdout is not None
    one.ping(two.ip)
    with process.stdout as out:
        line = out.readline()
    assert " | " in line
    assert process.wait(60) == 0
    assert process.stderr is not None
    with process.stderr as err:
        assert "Error" not in err.read()
    assert_nothing_is_left(lab)


def test_what_can_t_be_captured_is_an_error(lab: Lab, pair: tuple[Guest, Guest]) -> None:
    assert "no device 'eth9'" in lab.fakevm.fails(3, "capture", "compute-1", "compute-2:eth9")
    argv = ("capture", "--filter", "icmp and and", pair[0].port_id)
    assert "--filter 'icmp and and': can't parse" in lab.fakevm.fails(2, *argv)
    assert "begins with qrouter-0" in lab.fakevm.fails(3, "capture", "network-1:qrouter-0:any")
    assert_nothing_is_left(lab)
