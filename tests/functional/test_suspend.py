"""A VM that is suspended and goes on: what it has inside moves with it."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from fakevm.model import Vif, Vm
from fakevm_agent.kernel import netns, processes
from tests.functional.agent import Agent, RefusedError
from tests.functional.conftest import make_vif, make_vm
from tests.functional.openvswitch import OpenVSwitch, run
from tests.functional.seen import addresses, devices, namespaces
from tests.waiting import wait_until

# What a user did in the VM, beyond what the agent sets.
_BY_HAND = """\
set -e
ip address add 10.0.0.55/24 dev eth0
ip address add 192.168.7.1/32 dev lo
ip -6 address add 2001:db8::55/64 dev eth0 nodad
ip address add 10.3.0.5/24 dev eth0 valid_lft 1000 preferred_lft 900
ip route add 10.9.0.0/16 via 10.0.0.1
ip route add default via 10.0.0.1 table 100
ip route add unreachable 10.66.0.0/16
ip route add 10.8.0.0/16 nexthop via 10.0.0.1 nexthop via 10.0.0.2
ip -6 route add 2001:db8:1::/48 via 2001:db8::1
ip -6 route add default via fe80::1 dev eth0 metric 7
ip rule add from 10.0.0.55 table 100 priority 1000
ip neighbour add 10.0.0.77 lladdr 02:00:00:00:00:77 dev eth0
ip neighbour replace 10.0.0.1 lladdr 02:00:00:00:00:01 dev eth0 nud reachable
ip -6 neighbour replace fe80::1 lladdr 02:00:00:00:00:01 dev eth0 nud stale router
sysctl -qw net.ipv4.conf.eth0.arp_ignore=1 net.ipv6.conf.default.hop_limit=33
sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.eth0.forwarding=0
"""
_SYSCTLS = (
    "ipv4.conf.eth0.arp_ignore",
    "ipv6.conf.default.hop_limit",
    "ipv6.conf.all.forwarding",
    "ipv6.conf.eth0.forwarding",
)


def _inside(vm: Vm) -> dict[str, Any]:
    """Return what a VM has, as ip tells it, less what changes by itself."""
    where = ["-n", vm.instance_id, "-j"]
    found: dict[str, Any] = {}
    for device, link in devices(vm.instance_id).items():
        found[device] = sorted(
            (a["local"], a["prefixlen"], a.get("tentative", False), a["dynamic"])
            for a in ({"dynamic": False, **info} for info in link["addr_info"])
        )
    for version in ("-4", "-6"):
        shown = json.loads(run("ip", version, *where, "route", "show", "table", "all"))
        found[f"routes {version}"] = sorted(json.dumps(r, sort_keys=True) for r in shown)
        shown = json.loads(run("ip", version, *where, "rule", "show"))
        found[f"rules {version}"] = sorted(json.dumps(r, sort_keys=True) for r in shown)
        shown = json.loads(run("ip", version, *where, "neighbour", "show"))
        found[f"neighbours {version}"] = sorted(
            (n["dst"], n["lladdr"], n["state"], "router" in n) for n in shown if "lladdr" in n
        )
    for name in _SYSCTLS:
        command = ("ip", "netns", "exec", vm.instance_id, "sysctl", "-n", f"net.{name}")
        found[name] = run(*command).strip()
    return found


def _changed_by_hand(agent: Agent, vm: Vm) -> dict[str, Any]:
    """Do what a user may do in a VM; return what it has then."""
    # Its link-local address is ready a second after its boot.
    ready = (
        "until ! ip -6 address show tentative | grep -q . &&"
        # Its own route comes a moment later.
        " ip -6 route show table local | grep -q '^local fe80:'; do sleep 0.05; done"
    )
    done = agent.exec(vm, "sh", "-c", f"{_BY_HAND}{ready}", timeout_s=20.0)
    assert done.code == 0, done.stderr
    return _inside(vm)


def _plug(agent: Agent, vif: Vif, vm: Vm, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = agent.call("plug", vif=asdict(vif), vm=asdict(vm), **options)
    return found


def _suspend(agent: Agent, vm: Vm) -> dict[str, Any]:
    found: dict[str, Any] = agent.call("suspend", instance_id=vm.instance_id)
    return found


def _resume(
    agent: Agent, vm: Vm, state: dict[str, Any] | None = None, *, rarp: bool = False
) -> float:
    return float(agent.call("resume", instance_id=vm.instance_id, state=state, rarp=rarp)["time"])


def test_all_that_a_guest_has_moves_with_it(agent: Agent, vm: Vm) -> None:
    vif = make_vif("10.0.0.5/24", "2001:db8::5/64")
    agent.plug(vif, vm)
    before = _changed_by_hand(agent, vm)
    state = _suspend(agent, vm)
    # As on another host: of the old netns nothing is left.
    agent.unplug(vif.port_id)
    _plug(agent, vif, vm, paused=True)
    assert addresses(vm.instance_id, "eth0") == set()
    _resume(agent, vm, state)
    assert _inside(vm) == before


def test_a_vm_goes_on_where_it_was(agent: Agent, vm: Vm) -> None:
    """As after a migration that was rolled back."""
    agent.plug(make_vif("10.0.0.5/24", "2001:db8::5/64"), vm)
    before = _changed_by_hand(agent, vm)
    state = _suspend(agent, vm)
    assert "UP" not in devices(vm.instance_id)["eth0"]["flags"]
    resumed = _resume(agent, vm, state)
    assert resumed > state["time"]
    assert _inside(vm) == before
    # It runs: nothing is done.
    assert _resume(agent, vm, state) >= resumed
    assert _inside(vm) == before


def test_a_vm_goes_on_although_an_interface_s_keys_are_written_back(
    agent: Agent, openvswitch: OpenVSwitch, vm: Vm
) -> None:
    vif = make_vif("10.0.0.5/24")
    _plug(agent, vif, vm, paused=True)
    # As Neutron adds to them what it knows of a trunk (ovsdb_handler.py, _set_trunk_metadata).
    before = openvswitch.vsctl("get", "Interface", vif.device, "external_ids").strip()
    _resume(agent, vm)
    openvswitch.vsctl("set", "Interface", vif.device, f"external_ids={before}")
    assert not agent.vifs()[0]["paused"]
    agent.call("configure", port_id=vif.port_id, timeout_s=10.0)
    assert addresses(vm.instance_id, "eth0") == {"10.0.0.5/24"}


def test_a_suspended_vm_can_not_be_suspended(agent: Agent, vm: Vm) -> None:
    agent.plug(make_vif("10.0.0.5/24"), vm)
    _suspend(agent, vm)
    with pytest.raises(RefusedError, match="vm1 is paused") as refused:
        _suspend(agent, vm)
    assert refused.value.type == "ConflictError"
    with pytest.raises(RefusedError) as refused:
        _suspend(agent, make_vm())
    assert refused.value.type == "NotFoundError"
    with pytest.raises(RefusedError) as refused:
        _resume(agent, make_vm())
    assert refused.value.type == "NotFoundError"


def test_a_suspended_vm_stays_so_when_agent_and_host_restart(mortal_agent: Agent, vm: Vm) -> None:
    agent, vif = mortal_agent, make_vif("10.0.0.5/24")
    agent.plug(vif, vm)
    state = _suspend(agent, vm)
    agent.stop()
    agent.start()
    assert "UP" not in devices(vm.instance_id)["eth0"]["flags"]
    agent.stop()
    run("ip", "netns", "del", vm.instance_id)
    subprocess.run(["ip", "link", "del", vif.device], check=False, capture_output=True)
    agent.start()
    assert "UP" not in devices(vm.instance_id)["eth0"]["flags"]
    assert addresses(vm.instance_id, "eth0") == set()
    _resume(agent, vm, state)
    assert addresses(vm.instance_id, "eth0") == {"10.0.0.5/24"}


def test_a_suspend_without_the_database_changes_nothing(
    mortal_agent: Agent, openvswitch: OpenVSwitch, vm: Vm
) -> None:
    agent = mortal_agent
    agent.plug(make_vif("10.0.0.5/24", "2001:db8::5/64"), vm)
    before = addresses(vm.instance_id, "eth0")
    openvswitch.stop_database()
    try:
        with pytest.raises(RefusedError) as refused:
            _suspend(agent, vm)
    finally:
        openvswitch.start_database()
    assert refused.value.type == "UnavailableError"
    assert "UP" in devices(vm.instance_id)["eth0"]["flags"]
    assert addresses(vm.instance_id, "eth0") == before


def test_what_does_not_move_is_named(agent: Agent, vm: Vm) -> None:
    agent.plug(make_vif("10.0.0.5/24"), vm)
    agent.plug(make_vif("10.1.0.5/24"), vm)
    assert _nothing_stays_behind(agent, vm)
    by_hand = """
        ip link set dev eth0 mtu 1300; ip link set dev eth1 down
        ip link add own type veth peer name other
        sleep 3600 >/dev/null 2>&1 &
        until grep -q ^sleep /proc/$!/cmdline; do :; done
        echo $!
    """
    pid = agent.exec(vm, "sh", "-c", by_hand).stdout.strip()
    state = _suspend(agent, vm)
    assert state["processes"] == {pid: "sleep 3600"}
    assert sorted(state["not_moved"]) == [
        "eth0: its MTU, 1300",
        "eth1: that it was down",
        "other: this device",
        "own: this device",
    ]


def _nothing_stays_behind(agent: Agent, vm: Vm) -> bool:
    state = _suspend(agent, vm)
    _resume(agent, vm, state)
    return not (state["processes"] or state["not_moved"] or state["sysctls"] or state["files"])


def test_nics_that_change_places_keep_what_is_theirs(agent: Agent, vm: Vm) -> None:
    first, second = make_vif("10.0.0.5/24"), make_vif("10.1.0.5/24", "2001:db8::5/64")
    agent.plug(first, vm)
    agent.plug(second, vm)
    by_hand = """
        ip route add 10.9.0.0/16 via 10.1.0.1; sysctl -qw net.ipv4.conf.eth1.arp_ignore=1
        ip rule add iif eth1 table 100 priority 1000
        ip neighbour add 10.1.0.1 lladdr 02:00:00:00:00:01 dev eth1
    """
    assert agent.exec(vm, "sh", "-c", by_hand).code == 0
    state = _suspend(agent, vm)
    for vif in (first, second):
        agent.unplug(vif.port_id)
    assert _plug(agent, second, vm, paused=True)["nic"] == "eth0"
    assert _plug(agent, first, vm, paused=True)["nic"] == "eth1"
    _resume(agent, vm, state)
    assert addresses(vm.instance_id, "eth0") == {"10.1.0.5/24", "2001:db8::5/64"}
    assert addresses(vm.instance_id, "eth1") == {"10.0.0.5/24"}
    inside = _inside(vm)
    assert '"dev": "eth0", "dst": "10.9.0.0/16"' in "".join(inside["routes -4"])
    assert '"iif": "eth0"' in "".join(inside["rules -4"])
    assert inside["ipv4.conf.eth0.arp_ignore"] == "1"
    assert ("10.1.0.1", "02:00:00:00:00:01", ["PERMANENT"], False) in inside["neighbours -4"]


def test_a_nic_keeps_its_name_where_it_is_free(agent: Agent, vm: Vm) -> None:
    assert _plug(agent, make_vif(), vm, nic="eth3")["nic"] == "eth3"
    assert _plug(agent, make_vif(), vm, nic="eth3")["nic"] == "eth0"
    with pytest.raises(RefusedError, match="nic"):
        _plug(agent, make_vif(), vm, nic="../x")


def test_a_state_that_no_agent_made_is_refused(agent: Agent, vm: Vm) -> None:
    agent.plug(make_vif("10.0.0.5/24"), vm)
    state = _suspend(agent, vm)
    for wrong in (
        {"addresses": ["AAAA"]},
        {"routes": ["not base64!"]},
        {"sysctls": {"net/ipv4/conf/../../../kernel/hostname": "x"}},
        {"files": {"../../x": "y"}},
    ):
        with pytest.raises(RefusedError, match=f"state.{next(iter(wrong))}"):
            _resume(agent, vm, {**state, **wrong})
    _resume(agent, vm, state)


def test_a_guest_that_moved_is_announced_by_rarp(agent: Agent, vm: Vm) -> None:
    """As QEMU does it: five frames, the pauses between them 50, 150, 250 and 350 ms."""
    vif, seer = make_vif("10.0.0.5/24"), make_vm("seer")
    agent.plug(make_vif("10.0.0.6/24"), seer)
    agent.plug(vif, vm)
    state = _suspend(agent, vm)
    with _frames(seer) as sniffer:
        asked = time.time()
        resumed = _resume(agent, vm, state, rarp=True)
        answered = time.time()
        frames = [_next(sniffer) for _ in range(5)]
        _suspend(agent, vm)
        _resume(agent, vm, state, rarp=False)
        sniffer.settimeout(0.3)
        with pytest.raises(TimeoutError):
            _next(sniffer)
    mac = bytes.fromhex(vif.mac_address.replace(":", ""))
    words = bytes.fromhex("8035 0001 0800 06 04 0003") + mac + bytes(4) + mac + bytes(4)
    assert {frame for frame, _ in frames} == {b"\xff" * 6 + mac + words + bytes(18)}
    times = [at for _, at in frames]
    assert times == sorted(times)
    # On a busy machine each may be late, but none comes before its time.
    for at, due in zip(times, (0.0, 0.05, 0.2, 0.45, 0.8), strict=True):
        assert at > asked + due
    print("after the NIC was up, in ms: the answer", _ms(answered - resumed), end=", ")
    print("the frames", [_ms(at - resumed) for at in times])


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def test_a_guest_that_is_unplugged_is_announced_no_more(agent: Agent, vm: Vm) -> None:
    vif, seer = make_vif("10.0.0.5/24"), make_vm("seer")
    agent.plug(make_vif("10.0.0.6/24"), seer)
    with _frames(seer) as sniffer:
        _plug(agent, vif, vm, paused=True)
        _resume(agent, vm, rarp=True)
        agent.unplug(vif.port_id)
        # A netns of the same VM, at once.
        _plug(agent, vif, vm)
        plugged = time.time()
        sniffer.settimeout(1.0)
        times = []
        with suppress(TimeoutError):
            while True:
                times.append(_next(sniffer)[1])
    assert times
    assert max(times) < plugged
    assert vm.instance_id in namespaces()


# linux/socket.h
_SO_TIMESTAMPNS = 35


@contextmanager
def _frames(vm: Vm) -> Iterator[socket.socket]:
    """Sniff RARP at a VM's NIC."""
    with netns.entered(vm.instance_id):
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x8035))
        sniffer.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sniffer.bind(("eth0", 0x8035))
    with sniffer:
        sniffer.settimeout(10.0)
        yield sniffer


def _next(sniffer: socket.socket) -> tuple[bytes, float]:
    """Return the next frame, and when the kernel had it."""
    data, [(_, _, stamp)], _, _ = sniffer.recvmsg(2000, 100)
    seconds, nanoseconds = struct.unpack("qq", stamp)
    return data, seconds + nanoseconds / 1e9


def test_a_late_tap_comes_after_its_port(agent: Agent, openvswitch: OpenVSwitch, vm: Vm) -> None:
    """The port is in error until its device is there, as with a libvirt that made the tap."""
    vif = make_vif("10.0.0.5/24")
    with _ofports(openvswitch, vif) as seen:
        plugged = _plug(agent, vif, vm, late_tap=True)
        while seen[-1:] != [plugged["ofport"]]:
            time.sleep(0.01)
    assert seen == [-1, plugged["ofport"]]
    assert plugged["error"] == ""
    assert plugged["ofport"] > 0
    assert plugged["addresses"] == ["10.0.0.5/24"]
    assert not _plug(agent, vif, vm, late_tap=True)["changed"]
    other = make_vm("other")
    agent.plug(make_vif("10.0.0.6/24"), other)
    assert agent.exec(other, "ping", "-c1", "-W5", "10.0.0.5").code == 0


def test_a_hybrid_vifs_tap_may_be_late(agent: Agent, vm: Vm) -> None:
    vif = make_vif("10.0.0.5/24", hybrid=True)
    assert _plug(agent, vif, vm, late_tap=True)["ofport"] > 0
    assert not agent.plug(vif, vm)["changed"]


@contextmanager
def _ofports(openvswitch: OpenVSwitch, vif: Vif) -> Iterator[list[int]]:
    """Collect what ovs-vswitchd says of an interface's ofport, in order."""
    columns = ("monitor", openvswitch.connection, "Open_vSwitch", "Interface", "name,ofport")
    command = ["ovsdb-client", "--format=json", *columns]
    seen: list[int] = []

    def read(lines: Iterable[str]) -> None:
        for line in lines:
            for _, action, name, ofport in json.loads(line)["data"]:
                if (name, action) in ((vif.device, "new"), (vif.device, "insert")):
                    seen.extend([ofport] if isinstance(ofport, int) else [])

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        # What is there at first.
        process.stdout.readline()
        reader = threading.Thread(target=read, args=(process.stdout,))
        reader.start()
        try:
            yield seen
        finally:
            process.terminate()
            reader.join()


def test_a_port_that_outlives_its_vm_is_known_as_such(mortal_agent: Agent, vm: Vm) -> None:
    agent = mortal_agent
    given, made = make_vif("10.0.0.5/24", preserve_on_delete=True), make_vif()
    assert agent.plug(given, vm)["preserve_on_delete"]
    assert not agent.plug(made, vm)["preserve_on_delete"]
    agent.stop()
    agent.start()
    assert {vif["port_id"]: vif["preserve_on_delete"] for vif in agent.vifs()} == {
        given.port_id: True,
        made.port_id: False,
    }


def test_a_vm_that_is_kept_goes_on_here_with_all_that_it_had(agent: Agent, vm: Vm) -> None:
    vif = make_vif("10.0.0.5/24", "2001:db8::5/64")
    agent.plug(vif, vm)
    before = _changed_by_hand(agent, vm)
    # What runs in it stands still.
    agent.exec(vm, "sh", "-c", "setsid sh -c 'while :; do date >/run/alive; sleep 0.05; done' &")
    wait_until("the guest's program runs", lambda: _alive(agent, vm))
    agent.call("suspend", instance_id=vm.instance_id, keep=True)
    assert agent.vifs(port_id=vif.port_id)[0]["paused"]
    assert _states(vm) <= {"T", "t"}
    assert devices(vm.instance_id)["eth0"]["operstate"] == "DOWN"
    with pytest.raises(RefusedError, match="is paused"):
        agent.call("suspend", instance_id=vm.instance_id, keep=True)

    agent.call("resume", instance_id=vm.instance_id)
    assert not agent.vifs(port_id=vif.port_id)[0]["paused"]
    assert _inside(vm) == before
    assert not _states(vm) & {"T", "t"}
    seen = _alive(agent, vm)
    wait_until("the guest's program goes on", lambda: _alive(agent, vm) != seen)


def _alive(agent: Agent, vm: Vm) -> str:
    return agent.exec(vm, "sh", "-c", "cat /run/alive; stat -c %y /run/alive").stdout


def _states(vm: Vm) -> set[str]:
    """Return the states of the processes in a VM, as ps has them."""
    pids = processes.inside(netns.identity(vm.instance_id))
    stats = [Path(f"/proc/{pid}/stat").read_text() for pid in pids]
    return {text.rpartition(")")[2].split()[0] for text in stats}
