"""A VM that is suspended and goes on: what it has inside moves with it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from typing import Any

import pytest

from fakevm.model import Vif, Vm
from tests.functional.agent import Agent, RefusedError
from tests.functional.conftest import make_vif, make_vm
from tests.functional.openvswitch import run
from tests.functional.seen import addresses, devices

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
sysctl -qw net.ipv4.ip_forward=1
"""


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
    names = ("ipv4.conf.eth0.arp_ignore", "ipv6.conf.default.hop_limit", "ipv4.ip_forward")
    for name in names:
        command = ("ip", "netns", "exec", vm.instance_id, "sysctl", "-n", f"net.{name}")
        found[name] = run(*command).strip()
    return found


def _changed_by_hand(agent: Agent, vm: Vm) -> dict[str, Any]:
    """Do what a user may do in a VM; return what it has then."""
    # Its link-local address is ready a second after its boot.
    ready = "until ! ip -6 address show tentative | grep -q .; do sleep 0.05; done"
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


def test_what_does_not_move_is_named(agent: Agent, vm: Vm) -> None:
    agent.plug(make_vif("10.0.0.5/24"), vm)
    agent.plug(make_vif("10.1.0.5/24"), vm)
    assert _nothing_stays_behind(agent, vm)
    by_hand = """
        ip link set dev eth0 mtu 1300; ip link set dev eth1 down
        ip link add own type veth peer name other
        sleep 3600 >/dev/null 2>&1 &
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
