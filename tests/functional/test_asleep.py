"""An agent that nobody asks falls asleep, and whoever asks notices nothing but the time."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakevm.model import Vm
from tests.functional.agent import Agent, Client, RefusedError, ended
from tests.functional.conftest import make_vif, mortal
from tests.functional.openvswitch import OpenVSwitch
from tests.functional.seen import devices
from tests.waiting import wait_until

_IDLE_S = 0.5


@pytest.fixture
def tired(openvswitch: OpenVSwitch, tmp_path: Path) -> Iterator[Agent]:
    """An agent that falls asleep soon."""
    with mortal(openvswitch, tmp_path, idle_s=_IDLE_S) as found:
        yield found


def test_vms_need_no_agent_that_is_awake(tired: Agent, openvswitch: OpenVSwitch, vm: Vm) -> None:
    vif = make_vif("10.0.0.5/24")
    tired.plug(vif, vm)
    daemon = ["sh", "-c", "sleep 3600 >/dev/null 2>&1 & echo $!"]
    sleeper = int(tired.exec(vm, *daemon).stdout)
    before = tired.vifs(), devices(vm.instance_id)["eth0"]["ifindex"], openvswitch.ports()
    pid, awake = tired.pid, _resident(tired)
    _wait_until_asleep(tired)
    # It is the same process, with little of what it held and none of its children.
    wait_until("its memory free", lambda: _resident(tired) < awake / 3)
    assert _children(tired) == []
    after = tired.vifs(), devices(vm.instance_id)["eth0"]["ifindex"], openvswitch.ports()
    assert after == before
    assert tired.pid == pid
    assert not ended(sleeper)
    assert tired.exec(vm, "true").code == 0
    assert not tired.plug(vif, vm)["changed"]


def test_a_client_of_any_moment_is_answered(tired: Agent) -> None:
    moments = random.Random(7)
    for _ in range(8):
        # About as long as it takes to fall asleep.
        time.sleep(_IDLE_S + moments.uniform(0, 0.2))
        assert tired.call("info")["host"] == "tester"


def test_it_stays_awake_while_a_command_runs_or_a_client_is_there(tired: Agent, vm: Vm) -> None:
    tired.plug(make_vif("10.0.0.5/24"), vm)
    with Client(tired.socket) as client:
        number = client.start(vm, "sleep", str(4 * _IDLE_S))
        assert client.finish(number).code == 0
        time.sleep(4 * _IDLE_S)
        assert not _asleep(tired)
        assert client.call("list")["vifs"]


def test_whether_it_is_alive_keeps_it_awake_no_longer(tired: Agent) -> None:
    def asked() -> bool:
        if not _asleep(tired):
            assert tired.call("alive") is True
        return _asleep(tired)

    wait_until("it asleep", asked)


def test_asleep_it_ends_as_awake(tired: Agent, vm: Vm) -> None:
    vif = make_vif("10.0.0.5/24")
    tired.plug(vif, vm)
    _wait_until_asleep(tired)
    assert tired.stop() == 0
    assert not tired.socket.exists()
    assert not _asleep(tired)
    tired.start()
    assert [found["port_id"] for found in tired.vifs()] == [vif.port_id]
    # With a VM it would go on asking a Neutron that is not there where that VM is.
    tired.unplug(vif.port_id)
    tired.stop()
    tired.start()
    _wait_until_asleep(tired)
    assert tired.stop(signal.SIGKILL) == -signal.SIGKILL
    tired.start()
    assert not _asleep(tired)
    assert tired.vifs() == []


def test_it_ends_at_any_moment_of_falling_asleep(tired: Agent) -> None:
    moments = random.Random(7)
    for _ in range(6):
        tired.wait_until_said("falls asleep until it is asked; its VMs stay")
        time.sleep(moments.uniform(0, 0.06))
        assert tired.stop() == 0
        assert not tired.socket.exists()
        assert not _asleep(tired)
        tired.start()


def test_it_ends_at_any_moment_of_waking_up(tired: Agent) -> None:
    moments = random.Random(7)
    for _ in range(4):
        _wait_until_asleep(tired)
        with Client(tired.socket):
            time.sleep(moments.uniform(0, 0.4))
            assert tired.stop() == 0
        assert not tired.socket.exists()
        tired.start()


def test_its_spawner_holds_nothing_that_it_listens_on(tired: Agent) -> None:
    _wait_until_asleep(tired)
    # A client keeps it awake.
    with Client(tired.socket) as client:
        assert client.call("info")
        (spawner,) = _children(tired)
        listening = _listening(tired.socket)
        assert listening & _opened(tired.pid)
        assert not listening & _opened(int(spawner))


def test_commands_go_on_without_open_vswitch_s_database(
    tired: Agent, openvswitch: OpenVSwitch, vm: Vm
) -> None:
    tired.plug(make_vif("10.0.0.5/24"), vm)
    _wait_until_asleep(tired)
    with openvswitch.without_database():
        assert tired.exec(vm, "true").code == 0
        with pytest.raises(RefusedError, match="ovsdb-server"):
            tired.vifs()
    wait_until("the database", lambda: _listed(tired))


def _listed(agent: Agent) -> bool:
    try:
        return bool(agent.vifs())
    except RefusedError:
        return False


def _opened(pid: int) -> set[str]:
    """Return what a process has open (proc(5), /proc/PID/fd)."""
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        # What it closes meanwhile is not looked for.
        with contextlib.suppress(FileNotFoundError):
            found.add(os.fsdecode(fd.readlink()))
    return found


def _listening(path: Path) -> set[str]:
    """Return the sockets at a path, by the names that /proc/PID/fd has (/proc/net/unix)."""
    lines = Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()[1:]
    return {f"socket:[{line.split()[6]}]" for line in lines if line.endswith(f" {path}")}


def _asleep(agent: Agent) -> bool:
    return agent.socket.with_name("asleep").exists()


def _wait_until_asleep(agent: Agent) -> None:
    wait_until("it asleep", lambda: _asleep(agent))


def _resident(agent: Agent) -> int:
    """Return what the process holds in memory, in pages."""
    return int(Path(f"/proc/{agent.pid}/statm").read_text(encoding="ascii").split()[1])


def _children(agent: Agent) -> list[str]:
    listed = f"/proc/{agent.pid}/task/{agent.pid}/children"
    return os.fsdecode(Path(listed).read_bytes()).split()
