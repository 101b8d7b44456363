"""Neutron's programs are forked from one import, and live and end as if started by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until

SOCKET = Path("/run/fakevm/forkserver.sock")
# A program that stays: it waits for an Open vSwitch that there is not.
AGENT = "fakevm-agent"


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[bytes]]:
    SOCKET.parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(("neutron-forkserver", AGENT)) as running:
        wait_until("the server's socket", SOCKET.exists)
        yield running
        running.terminate()
    SOCKET.unlink()


@pytest.fixture
def staying(
    server: subprocess.Popen[bytes], tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A client, and the process of its program."""
    socket = tmp_path / "agent.sock"
    config = tmp_path / "agent.conf"
    config.write_text(
        f"[fakevm]\nsocket_path = {socket}\nstate_path = {tmp_path}\n"
        f"ovsdb_connection = unix:{tmp_path}/none.sock\n",
        encoding="utf-8",
    )
    client = subprocess.Popen(("neutron-forked", AGENT, "--config-file", str(config)))
    wait_until("the agent's socket", socket.exists)
    keeper = next(pid for pid in children(server.pid) if children(pid))
    (program,) = children(keeper)
    yield client, program
    client.kill()
    client.wait()
    wait_until("the program's end", lambda: not Path(f"/proc/{program}").exists())


def test_a_program_has_its_clients_place_and_its_exit_code(
    server: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    argv = ("neutron-forked", "privsep-helper")
    helped = subprocess.run((*argv, "--help"), cwd=tmp_path, capture_output=True, text=True)
    assert helped.returncode == 0
    assert helped.stdout.startswith("usage: privsep-helper")
    refused = subprocess.run((*argv, "--nonsense"), capture_output=True, text=True)
    assert refused.returncode == 2
    assert "nonsense" in refused.stderr


def test_a_program_has_its_clients_environment_and_directory(
    staying: tuple[subprocess.Popen[bytes], int],
) -> None:
    client, program = staying
    assert Path(f"/proc/{program}/cwd").readlink() == Path(f"/proc/{client.pid}/cwd").readlink()
    assert Path(f"/proc/{program}/fd/1").readlink() == Path(f"/proc/{client.pid}/fd/1").readlink()
    assert Path(f"/proc/{program}/cmdline").read_text(encoding="utf-8").startswith(AGENT)


def test_a_program_is_asked_to_end_as_its_client_is(
    staying: tuple[subprocess.Popen[bytes], int],
) -> None:
    client, program = staying
    client.terminate()
    # fakevm-agent ends in order.
    assert client.wait(timeout=20) == 0
    assert not Path(f"/proc/{program}").exists()


def test_a_program_dies_with_its_client(staying: tuple[subprocess.Popen[bytes], int]) -> None:
    client, program = staying
    client.kill()
    client.wait()
    wait_until("the program's end", lambda: not Path(f"/proc/{program}").exists())


def test_a_client_tells_by_which_signal_its_program_died(
    staying: tuple[subprocess.Popen[bytes], int],
) -> None:
    client, program = staying
    os.kill(program, signal.SIGKILL)
    assert client.wait(timeout=20) == 128 + signal.SIGKILL


def test_what_the_server_does_not_know_runs_by_itself(server: subprocess.Popen[bytes]) -> None:
    assert subprocess.run(("neutron-forked", "sh", "-c", "exit 7")).returncode == 7


def test_what_has_changed_since_it_was_imported_is_imported_anew(
    server: subprocess.Popen[bytes],
) -> None:
    (module,) = Path("/opt/neutron/lib").glob(
        "python3*/site-packages/neutron/privileged/__init__.py"
    )
    # Where a failure is traced to: the program's own file, or the server that has imported it.
    own_file = '/bin/privsep-helper", line'
    assert own_file not in failure()
    before = module.stat()
    os.utime(module)
    try:
        assert own_file in failure()
    finally:
        os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_without_a_server_a_program_runs_by_itself(server: subprocess.Popen[bytes]) -> None:
    away = SOCKET.rename(SOCKET.with_suffix(".away"))
    try:
        assert subprocess.run(("neutron-forked", "sh", "-c", "exit 7")).returncode == 7
    finally:
        away.rename(SOCKET)


def failure() -> str:
    """Run a program that fails at once, and return what it says."""
    nowhere = ("--privsep_context", "none", "--privsep_sock_path", "-")
    argv = ("neutron-forked", "privsep-helper", *nowhere)
    failed = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    said = failed.stdout + failed.stderr
    assert failed.returncode
    assert "Empty module name" in said
    return said


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return (
        [int(word) for word in found.read_text(encoding="ascii").split()] if found.exists() else []
    )
