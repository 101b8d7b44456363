"""Addresses by DHCP, DHCPv6 and router advertisements, from dnsmasq in a VM of the same bridge."""

from __future__ import annotations

import ipaddress
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from fakevm.model import FixedIp, Vif, Vm
from tests.functional.agent import Agent, Client, RefusedError
from tests.functional.conftest import make_vif, make_vm
from tests.functional.openvswitch import run
from tests.functional.seen import addresses, devices, routes
from tests.waiting import wait_until


class Network:
    """A network whose DHCP server and router is a VM with dnsmasq."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._vm = make_vm("server")
        self._client: Client | None = None
        agent.plug(make_vif("10.0.0.1/24", "2001:db8::1/64"), self._vm)

    def serve(self, *options: str) -> None:
        """Start dnsmasq; it is ready when it has said so."""
        self._client = Client(self._agent.socket)
        number = self._client.start(
            self._vm,
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0"),
            *("--log-facility=-", "--log-dhcp", "--leasefile-ro", "--user=root"),
            *("--bind-dynamic", "--interface=eth0", "--no-ping", *options),
        )
        while "started" not in self._client.said(number, "stderr"):
            self._client.receive()

    def close(self) -> None:
        if self._client:
            self._client.close()


@pytest.fixture
def network(agent: Agent) -> Iterator[Network]:
    found = Network(agent)
    yield found
    found.close()


def _fixed(address: str, method: str, prefix: int = 24) -> FixedIp:
    return FixedIp(ip_address=address, prefix_len=prefix, subnet_id="s", method=method)  # type: ignore[arg-type]


def _by_dhcp(vif: Vif, address: str) -> list[str]:
    return [
        "--dhcp-range=10.0.0.0,static,10m",
        f"--dhcp-host={vif.mac_address},{address}",
        "--dhcp-option=option:dns-server,10.0.0.53",
    ]


def test_an_address_comes_by_dhcp(agent: Agent, network: Network, vm: Vm) -> None:
    vif = make_vif(fixed_ips=(_fixed("10.0.0.5", "dhcp"),))
    network.serve(*_by_dhcp(vif, "10.0.0.5"))
    assert agent.plug(vif, vm)["addresses"] == []
    assert agent.call("configure", port_id=vif.port_id) == {"addresses": ["10.0.0.5/24"]}
    assert addresses(vm.instance_id, "eth0") == {"10.0.0.5/24"}
    assert agent.exec(vm, "ping", "-c1", "-W5", "10.0.0.1").code == 0
    # dhclient's script sets the route and the resolver a moment after the address.
    _wait_for(agent, vm, "grep -q 10.0.0.53 /etc/resolv.conf")
    _wait_for(agent, vm, "ip route show default | grep -q 10.0.0.1")
    (listed,) = agent.vifs(port_id=vif.port_id)
    assert listed["configured"]
    # Again: it runs already.
    before = _dhclients(vm)
    assert agent.call("configure", port_id=vif.port_id) == {"addresses": ["10.0.0.5/24"]}
    assert _dhclients(vm) == before
    assert len(before) == 1


def test_a_vif_that_is_plugged_again_comes_by_its_address_in_another_way(
    agent: Agent, network: Network, vm: Vm
) -> None:
    vif = make_vif(fixed_ips=(_fixed("10.0.0.5", "dhcp"),))
    network.serve(*_by_dhcp(vif, "10.0.0.5"))
    agent.plug(vif, vm)
    agent.call("configure", port_id=vif.port_id)
    _wait_for(agent, vm, "ip route show default | grep -q 10.0.0.1")

    agent.plug(replace(vif, fixed_ips=(_fixed("10.0.0.5", "none"),)), vm)
    assert addresses(vm.instance_id, "eth0") == set()
    _wait_for_clients(vm, 0)
    assert agent.exec(vm, "ip", "route").stdout == ""

    agent.plug(vif, vm)
    agent.call("configure", port_id=vif.port_id)
    by_hand = replace(_fixed("10.0.0.5", "static"), gateway_ip="10.0.0.1")
    agent.plug(replace(vif, fixed_ips=(by_hand,)), vm)
    _wait_for_clients(vm, 0)
    shown = agent.exec(vm, "ip", "-4", "address", "show", "eth0").stdout
    assert "10.0.0.5/24" in shown
    assert "dynamic" not in shown
    assert "default via 10.0.0.1" in agent.exec(vm, "ip", "route").stdout


def test_a_user_may_run_dhclient_in_several_vms(agent: Agent, network: Network) -> None:
    vms = {make_vm(f"vm{number}"): f"10.0.0.{number}" for number in (5, 6, 7)}
    options: list[str] = []
    for vm, address in vms.items():
        vif = make_vif()
        agent.plug(vif, vm)
        options += _by_dhcp(vif, address)
    network.serve(*options)
    for vm, address in vms.items():
        done = agent.exec(vm, "dhclient", "-4", "-v", "eth0", timeout_s=20.0)
        assert done.code == 0, done.stderr
        assert f"DHCPACK of {address}" in done.stderr
        assert "cannot" not in done.stderr.lower()
        assert addresses(vm.instance_id, "eth0") == {f"{address}/24"}
    assert [len(_dhclients(vm)) for vm in vms] == [1, 1, 1]


def test_an_unplug_ends_the_clients_of_its_nic_alone(
    agent: Agent, network: Network, vm: Vm
) -> None:
    first = make_vif(fixed_ips=(_fixed("10.0.0.5", "dhcp"),))
    second = make_vif(fixed_ips=(_fixed("10.0.0.6", "dhcp"),))
    network.serve(*_by_dhcp(first, "10.0.0.5"), f"--dhcp-host={second.mac_address},10.0.0.6")
    for vif in (first, second):
        agent.plug(vif, vm)
        agent.call("configure", port_id=vif.port_id)
    assert len(_dhclients(vm)) == 2
    agent.unplug(first.port_id)
    _wait_for_clients(vm, 1)
    (left,) = _dhclients(vm)
    assert "eth1" in left


def test_an_address_that_does_not_come_is_told(agent: Agent, vm: Vm) -> None:
    vif = make_vif(fixed_ips=(_fixed("10.0.0.5", "dhcp"),))
    agent.plug(vif, vm)
    with pytest.raises(RefusedError, match=r"10\.0\.0\.5 \(dhcp\)") as refused:
        agent.call("configure", port_id=vif.port_id, timeout_s=1.0)
    assert refused.value.type == "WaitTimeoutError"
    assert "DHCPDISCOVER" in str(refused.value)
    assert vif.port_id in refused.value.hint


def test_who_waits_for_an_address_is_told_of_an_unplug(agent: Agent, vm: Vm) -> None:
    vif = make_vif(fixed_ips=(_fixed("10.0.0.5", "dhcp"),))
    agent.plug(vif, vm)
    with Client(agent.socket) as client:
        number = client.request("configure", port_id=vif.port_id, timeout_s=600)
        _wait_for_clients(vm, 1)
        agent.unplug(vif.port_id)
        with pytest.raises(RefusedError, match="eth0 is gone"):
            client.answer(number)


def test_an_agent_ends_while_an_address_is_waited_for(mortal_agent: Agent, vm: Vm) -> None:
    vif = make_vif(fixed_ips=(_fixed("10.0.0.5", "dhcp"),))
    mortal_agent.plug(vif, vm)
    with Client(mortal_agent.socket) as client:
        client.request("configure", port_id=vif.port_id, timeout_s=600)
        _wait_for_clients(vm, 1)
        assert mortal_agent.stop() == 0
    mortal_agent.start()


def test_an_address_comes_by_slaac(agent: Agent, network: Network, vm: Vm) -> None:
    vif = make_vif(mac_address="fa:16:3e:00:00:05")
    expected = "2001:db8::f816:3eff:fe00:5"
    vif = replace(vif, fixed_ips=(_fixed(expected, "slaac", 64),))
    network.serve("--enable-ra", "--dhcp-range=2001:db8::,ra-only,64")
    agent.plug(vif, vm)
    found = agent.call("configure", port_id=vif.port_id, timeout_s=20.0)["addresses"]
    assert f"{expected}/64" in found
    assert routes(vm.instance_id, 6)


def test_an_address_comes_by_dhcpv6(agent: Agent, network: Network, vm: Vm) -> None:
    vif = make_vif(fixed_ips=(_fixed("2001:db8::99", "dhcpv6", 64),))
    network.serve("--enable-ra", "--dhcp-range=2001:db8::99,2001:db8::99,64,10m")
    agent.plug(vif, vm)
    found = agent.call("configure", port_id=vif.port_id, timeout_s=20.0)["addresses"]
    assert ipaddress.ip_address("2001:db8::99") in {
        ipaddress.ip_interface(value).ip for value in found
    }


def test_dhcpv6_gives_a_vm_that_boots_again_its_address(
    agent: Agent, network: Network, vm: Vm
) -> None:
    vif = make_vif(fixed_ips=(_fixed("2001:db8::99", "dhcpv6", 64),))
    # The only one, which the server keeps for the client that it was given to.
    network.serve("--enable-ra", "--dhcp-range=2001:db8::99,2001:db8::99,64,10m")
    for _ in ("boot", "again"):
        agent.plug(vif, vm)
        found = agent.call("configure", port_id=vif.port_id, timeout_s=20.0)["addresses"]
        assert [value for value in found if value.startswith("2001:db8::99/")]
        agent.unplug(vif.port_id)


def test_an_address_that_does_not_come_by_dhcpv6_is_told(agent: Agent, vm: Vm) -> None:
    vif = make_vif(fixed_ips=(_fixed("2001:db8::99", "dhcpv6", 64),))
    agent.plug(vif, vm)
    with pytest.raises(RefusedError, match="dhcpv6") as refused:
        agent.call("configure", port_id=vif.port_id, timeout_s=1.0)
    assert refused.value.hint.endswith("-- dhclient -6 -D LL -v eth0")


def test_a_nic_that_asks_for_none_takes_no_advertisement(
    agent: Agent, network: Network, vm: Vm
) -> None:
    network.serve("--enable-ra", "--dhcp-range=2001:db8::,ra-only,64")
    other = make_vm("other")
    vif = make_vif("10.0.0.5/24")
    agent.plug(vif, vm)
    agent.call("configure", port_id=vif.port_id)
    # A neighbour's solicitation is answered to all.
    asking = replace(
        make_vif(mac_address="fa:16:3e:00:00:06"),
        fixed_ips=(_fixed("2001:db8::f816:3eff:fe00:6", "slaac", 64),),
    )
    agent.plug(asking, other)
    agent.call("configure", port_id=asking.port_id, timeout_s=20.0)
    assert addresses(vm.instance_id, "eth0") == {"10.0.0.5/24"}


def test_static_addresses_are_there_at_once(agent: Agent, vm: Vm) -> None:
    vif = make_vif("10.0.0.5/24", "2001:db8::5/64")
    agent.plug(vif, vm)
    found = agent.call("configure", port_id=vif.port_id, timeout_s=1.0)["addresses"]
    assert set(found) == {"10.0.0.5/24", "2001:db8::5/64"}


@pytest.mark.parametrize(
    ("address", "broadcast"), [("10.0.0.5/24", "10.0.0.255"), ("10.0.0.4/31", None)]
)
def test_both_addresses_of_a_31_are_hosts(
    agent: Agent, vm: Vm, address: str, broadcast: str | None
) -> None:
    # The peer's would be the broadcast address.
    vif = make_vif(address)
    agent.plug(vif, vm)
    agent.call("configure", port_id=vif.port_id, timeout_s=1.0)
    found = devices(vm.instance_id)["eth0"]["addr_info"]
    (mine,) = (one for one in found if one["family"] == "inet")
    assert mine.get("broadcast") == broadcast


def test_what_is_not_plugged_can_not_be_configured(agent: Agent) -> None:
    with pytest.raises(RefusedError) as refused:
        agent.call("configure", port_id=make_vif().port_id)
    assert refused.value.type == "NotFoundError"


def test_a_restart_of_the_host_starts_the_clients_again(mortal_agent: Agent, vm: Vm) -> None:
    agent = mortal_agent
    vif = make_vif(fixed_ips=(_fixed("10.0.0.5", "dhcp"),))
    other = make_vif(fixed_ips=(_fixed("10.0.0.6", "dhcp"),))
    agent.plug(vif, vm)
    agent.plug(other, vm)
    with pytest.raises(RefusedError):
        agent.call("configure", port_id=vif.port_id, timeout_s=0.1)
    agent.stop()
    for pid in run("ip", "netns", "pids", vm.instance_id).split():
        run("kill", "-KILL", pid)
    run("ip", "netns", "del", vm.instance_id)
    for each in (vif, other):
        subprocess.run(["ip", "link", "del", each.device], check=False, capture_output=True)
    agent.start()
    _wait_for(agent, vm, "pgrep -x dhclient")
    # Of the one that was asked for them.
    (client,) = _dhclients(vm)
    assert "eth0" in client


def test_a_paused_vif_is_silent_until_it_is_resumed(agent: Agent, vm: Vm) -> None:
    """As on the destination of a live migration, where the same VM still runs on its source."""
    static = replace(_fixed("10.0.0.7", "static"), gateway_ip="10.0.0.1")
    vif = make_vif(fixed_ips=(_fixed("10.0.0.5", "dhcp"), static))
    plugged = _plug_paused(agent, vif, vm)
    assert plugged["changed"]
    assert plugged["ofport"] > 0
    assert plugged["addresses"] == []
    assert "UP" not in devices(vm.instance_id)["eth0"]["flags"]
    assert not _plug_paused(agent, vif, vm)["changed"]
    with pytest.raises(RefusedError, match="paused"):
        agent.call("configure", port_id=vif.port_id)
    agent.call("resume", instance_id=vm.instance_id)
    assert addresses(vm.instance_id, "eth0") == {"10.0.0.7/24"}
    assert "UP" in devices(vm.instance_id)["eth0"]["flags"]
    assert [route["gateway"] for route in routes(vm.instance_id)] == ["10.0.0.1"]
    assert not agent.plug(vif, vm)["changed"]


def test_a_paused_vif_stays_so_when_the_host_restarts(mortal_agent: Agent, vm: Vm) -> None:
    agent, vif = mortal_agent, make_vif("10.0.0.5/24")
    _plug_paused(agent, vif, vm)
    agent.stop()
    run("ip", "netns", "del", vm.instance_id)
    subprocess.run(["ip", "link", "del", vif.device], check=False, capture_output=True)
    agent.start()
    assert "UP" not in devices(vm.instance_id)["eth0"]["flags"]
    assert addresses(vm.instance_id, "eth0") == set()


def test_a_guest_that_moved_goes_on_with_its_lease(agent: Agent, network: Network, vm: Vm) -> None:
    vif = make_vif(fixed_ips=(_fixed("10.0.0.5", "dhcp"),))
    network.serve(*_by_dhcp(vif, "10.0.0.5"))
    agent.plug(vif, vm)
    agent.call("configure", port_id=vif.port_id)
    _wait_for(agent, vm, "ip route show default | grep -q 10.0.0.1")
    ending = ("valid_lft", "100", "preferred_lft", "100")
    agent.exec(vm, *["ip", "address", "change", "10.0.0.5/24", "dev", "eth0"], *ending)
    before = routes(vm.instance_id), agent.exec(vm, "cat", "/etc/resolv.conf").stdout
    state = agent.call("suspend", instance_id=vm.instance_id)
    assert state["processes"] == {}
    agent.unplug(vif.port_id)
    _plug_paused(agent, vif, vm)
    agent.call("resume", instance_id=vm.instance_id, state=state, rarp=False)
    # With no client yet.
    assert addresses(vm.instance_id, "eth0") == {"10.0.0.5/24"}
    assert (routes(vm.instance_id), agent.exec(vm, "cat", "/etc/resolv.conf").stdout) == before
    agent.call("configure", port_id=vif.port_id)
    said = agent.state / vm.instance_id / "log" / "dhclient.eth0"
    _wait_for(agent, vm, "pgrep -x dhclient")
    while "bound to 10.0.0.5" not in said.read_text():
        assert _dhclients(vm)
        time.sleep(0.05)
    assert "DHCPDISCOVER" not in said.read_text()
    assert "DHCPREQUEST for 10.0.0.5" in said.read_text()
    # The lease is ten minutes again.
    _wait_for(agent, vm, "ip address show dev eth0 | grep -qE 'valid_lft (5[0-9]{2}|600)sec'")


def test_a_guest_whose_state_was_lost_gets_its_routes_again(
    agent: Agent, network: Network, vm: Vm
) -> None:
    vif = make_vif(fixed_ips=(_fixed("10.0.0.5", "dhcp"),))
    network.serve(*_by_dhcp(vif, "10.0.0.5"))
    agent.plug(vif, vm)
    agent.call("configure", port_id=vif.port_id)
    _wait_for(agent, vm, "ip route show default | grep -q 10.0.0.1")
    before = agent.exec(vm, "pgrep", "-x", "dhclient").stdout
    agent.call("suspend", instance_id=vm.instance_id)
    assert routes(vm.instance_id) == []
    agent.call("resume", instance_id=vm.instance_id, rarp=False)
    _wait_for(agent, vm, "ip route show default | grep -q 10.0.0.1")
    assert addresses(vm.instance_id, "eth0") == {"10.0.0.5/24"}
    # Another client, and it alone.
    _wait_for_clients(vm, 1)
    assert agent.exec(vm, "pgrep", "-x", "dhclient").stdout != before


def _plug_paused(agent: Agent, vif: Vif, vm: Vm) -> dict[str, Any]:
    found: dict[str, Any] = agent.call("plug", vif=asdict(vif), vm=asdict(vm), paused=True)
    return found


def _wait_for(agent: Agent, vm: Vm, script: str) -> None:
    done = agent.exec(vm, "sh", "-c", f"until {script}; do sleep 0.05; done", timeout_s=20.0)
    assert done.code == 0


def _wait_for_clients(vm: Vm, count: int) -> None:
    """Wait until that many run: one that was killed may need a moment to end."""
    wait_until(f"{count} DHCP clients", lambda: len(_dhclients(vm)) == count)


def _dhclients(vm: Vm) -> list[str]:
    """Return the command lines of the DHCP clients in a VM."""
    found = []
    for pid in run("ip", "netns", "pids", vm.instance_id).split():
        with suppress(FileNotFoundError):  # A client's script ends when it likes.
            words = Path("/proc", pid, "cmdline").read_bytes().decode().split("\0")
            if words[0] == "dhclient":
                found.append(" ".join(words))
    return sorted(found)
