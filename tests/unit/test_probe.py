"""Probers are started, heard and ended, on both hosts of a migration."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from fakevm.clients.agents import Agent
from fakevm.errors import ConfigError, FakevmError, UnavailableError, WaitTimeoutError
from fakevm.probes.end import PROGRAM
from fakevm.probes.flows import Flow, Recording, reports
from fakevm.probes.plan import FIRST_PORT, Nic, Prober, orders, plan
from fakevm.probes.probe import Probe
from fakevm.reports.migration import Moments
from tests.fakes.host import FakeAgent, FakeHost
from tests.fakes.probe import FakeNet, real_program

VM = Nic(port_id="vm-port", network_id="net", addresses=("10.0.0.7/24", "2001:db8::7/64"))
OTHER = Nic(port_id="other-port", network_id="net", addresses=("10.0.0.9/24", "2001:db8::9/64"))
DHCP = Prober(name="dhcp", nic=Nic(port_id="d", network_id="net", addresses=("10.0.0.2",)))


class Hosts:
    """Two hosts for the VM, and one for a prober."""

    def __init__(self) -> None:
        self.net = FakeNet(vm_on="compute-1")
        self.fakes = {n: FakeAgent(FakeHost(n)) for n in ("compute-1", "compute-2", "compute-3")}
        self.agents = {n: Agent(n, f.stream(), timeout_s=5) for n, f in self.fakes.items()}
        for name, fake in self.fakes.items():
            fake.programs[PROGRAM] = self.net.program(name, vm=name != "compute-3")

    @property
    def prober(self) -> Prober:
        nic = replace(OTHER, addresses=OTHER.addresses[:1])
        return Prober(name="vm2", nic=nic, agent=self.agents["compute-3"])

    def probe(self, *probers: Prober) -> Probe:
        probers = probers or (self.prober,)
        source = self.agents["compute-1"]
        return Probe(plan([VM], probers), probers, source=source, port_id="vm-port")

    def wait_until_ended(self) -> None:
        deadline = time.monotonic() + 5
        while self.net.running:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    hosts = Hosts()
    with ExitStack() as stack:
        for agent in hosts.agents.values():
            stack.callback(agent.close)
        yield hosts


def brief(flows: tuple[Flow, ...]) -> list[tuple[str, str, str, str]]:
    return [(flow.kind, flow.direction, flow.address, flow.peer_address) for flow in flows]


def test_each_address_is_probed_in_both_ways_by_each_prober(hosts: Hosts) -> None:
    agent = hosts.agents["compute-3"]
    probers = [Prober(name=name, nic=OTHER, agent=agent) for name in ("a", "b")]
    flows = plan([replace(VM, addresses=VM.addresses[::-1])], probers)
    four = [(k, d) for k in ("udp", "icmp") for d in ("to-vm", "from-vm")]
    pairs = [("10.0.0.7", "10.0.0.9"), ("2001:db8::7", "2001:db8::9")]
    assert brief(flows[:8]) == [(*one, *pair) for pair in pairs for one in four]
    assert [flow.peer for flow in flows] == ["a"] * 8 + ["b"] * 8
    assert len({flow.id for flow in flows}) == 16
    ports = [flow.port for flow in flows if flow.kind == "udp"]
    assert len(set(ports)) == 8
    assert min(ports) == FIRST_PORT
    assert max(ports) < 32768, "the kernel gives out those above"
    assert {flow.port for flow in flows if flow.kind == "icmp"} == {0}


def test_a_dhcp_port_is_pinged_from_the_vm_alone() -> None:
    assert brief(plan([VM], [DHCP])) == [("icmp", "from-vm", "10.0.0.7", "10.0.0.2")]


def test_the_nic_in_the_probers_network_is_probed() -> None:
    second = Nic(port_id="second", network_id="net2", addresses=("192.0.2.7/24",))
    assert {flow.address for flow in plan([second, VM], [DHCP])} == {"10.0.0.7"}
    far = replace(DHCP, nic=replace(DHCP.nic, network_id="far"))
    assert [flow.address for flow in plan([second, VM], [far])] == ["192.0.2.7", "10.0.0.7"]


def test_of_several_addresses_of_a_prober_the_one_in_the_same_subnet_is_taken() -> None:
    prober = replace(DHCP, nic=replace(DHCP.nic, addresses=("192.0.2.2", "10.0.0.2")))
    assert {flow.peer_address for flow in plan([VM], [prober])} == {"10.0.0.2"}


def test_without_a_common_ip_version_there_is_nothing_to_probe() -> None:
    with pytest.raises(ConfigError, match="dhcp and the VM have no addresses of the same IP"):
        plan([replace(VM, addresses=("2001:db8::7/64",))], [DHCP])


def test_nobody_probes_twice(hosts: Hosts) -> None:
    with pytest.raises(ConfigError, match="vm2 is to probe more than once"):
        plan([VM], [hosts.prober, hosts.prober])


def test_several_dhcp_servers_are_pinged() -> None:
    other = replace(DHCP, nic=replace(DHCP.nic, addresses=("10.0.0.3",)))
    flows = plan([VM], [DHCP, other])
    assert [flow.peer_address for flow in flows] == ["10.0.0.2", "10.0.0.3"]
    assert len({flow.id for flow in flows}) == 2


def test_a_flows_name_fits_into_a_packet() -> None:
    prober = Prober(name="\u4e2d" * 255, nic=DHCP.nic)
    assert all(len(flow.id.encode()) < 100 for flow in plan([VM], [prober]))


def test_the_ends_of_a_flow_are_told_what_fits_together(hosts: Hosts) -> None:
    flows = plan([VM], [Prober(name="vm2", nic=OTHER, agent=hosts.agents["compute-3"])])
    vm, other = (orders(flows, end, rate=50.0, t0=7.0, run="r") for end in ("source", "prober"))
    assert orders(flows, "destination", rate=50.0, t0=7.0, run="r") == vm
    to_vm, from_vm = flows[:2]
    common = {"kind": "udp", "rate": 50.0, "t0": 7.0, "run": "r"}
    assert other[0] == {
        **common,
        "flow": to_vm.id,
        "role": "send",
        "address": "10.0.0.7",
        "port": to_vm.port,
    }
    assert vm[0] == {**other[0], "role": "receive", "address": "0.0.0.0"}
    assert vm[1] == {
        **common,
        "flow": from_vm.id,
        "role": "send",
        "address": "10.0.0.9",
        "port": from_vm.port,
    }
    # A ping has one end: the other one's kernel answers.
    pings = [order["flow"] for order in (*vm, *other) if order["role"] == "ping"]
    assert sorted(pings) == sorted(flow.id for flow in flows if flow.kind == "icmp")
    assert [order["address"] for order in vm if order["role"] == "receive"] == ["0.0.0.0", "::"]


def migrate(hosts: Hosts, probe: Probe) -> tuple[Recording, Moments]:
    probe.start()
    probe.wait_until_flowing(5)
    probe.at_destination(hosts.agents["compute-2"])
    probe.wait_until_ready(5)
    paused = time.time()
    hosts.net.vm_on = ""
    time.sleep(0.2)
    hosts.net.vm_on = "compute-2"
    resumed = time.time()
    probe.stop_source()
    time.sleep(0.15)
    return probe.stop(), Moments(paused=paused, activated=resumed, resumed=resumed)


def test_a_migration_is_seen_from_all_its_ends(hosts: Hosts) -> None:
    with hosts.probe(hosts.prober, DHCP) as probe:
        recording, moments = migrate(hosts, probe)
    assert recording.problems == ()
    assert moments.paused
    assert moments.resumed
    pause_ms = (moments.resumed - moments.paused) * 1000
    said = reports(recording, moments=moments)
    assert len(said) == 5
    for report in said:
        # The threads that play the ends may have to wait for their turn.
        assert pause_ms - 20 < report.longest_gap_ms < pause_ms + 1000
        assert report.gap_end == report.first_new_path
        assert not report.gap_open
        assert (report.duplicated, report.reordered) == (0, 0)
        vm = recording.ends[report.flow]
        if report.flow != "3 icmp to-vm 10.0.0.7":
            assert vm["source"] != vm["destination"]
    lost = {report.flow: report.lost for report in said}
    assert lost["1 udp to-vm 10.0.0.7"] > 5
    assert lost["2 udp from-vm 10.0.0.7"] == 0, "a paused VM sends nothing"
    hosts.wait_until_ended()


def test_what_was_sent_before_all_flowed_does_not_count(hosts: Hosts) -> None:
    hosts.net.dropped = {"1 udp to-vm 10.0.0.7"}
    with hosts.probe() as probe:
        probe.start()
        threading.Timer(0.15, hosts.net.dropped.clear).start()
        probe.wait_until_flowing(5)
        time.sleep(0.1)
        recording = probe.stop()
    assert [report.lost for report in reports(recording, moments=Moments())] == [0, 0, 0, 0]


def test_flows_that_do_not_flow_are_named(hosts: Hosts) -> None:
    hosts.net.dropped = {"2 udp from-vm 10.0.0.7", "3 icmp to-vm 10.0.0.7"}
    with hosts.probe() as probe:
        probe.start()
        with pytest.raises(WaitTimeoutError) as caught:
            probe.wait_until_flowing(0.3)
    assert str(caught.value) == (
        "no packet came through within 0.3 s:"
        f" UDP port {FIRST_PORT + 1} from the VM (10.0.0.7) to vm2 (10.0.0.9);"
        " ping from vm2 (10.0.0.9) to the VM (10.0.0.7)"
    )
    assert "security groups" in caught.value.hint
    hosts.wait_until_ended()


def test_a_program_that_cannot_run_is_told_at_once(hosts: Hosts) -> None:
    hosts.net.refusal = "Operation not permitted\n"
    with hosts.probe() as probe:
        probe.start()
        with pytest.raises(FakevmError, match="fakevm-probe ended with 2: Operation not perm"):
            probe.wait_until_flowing(30)


def test_an_exception_ends_all(hosts: Hosts) -> None:
    def interrupted() -> None:
        with hosts.probe() as probe:
            probe.start()
            probe.wait_until_flowing(5)
            probe.at_destination(hosts.agents["compute-2"])
            probe.wait_until_ready(5)
            assert hosts.net.running == 3
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    hosts.wait_until_ended()
    assert not [t for t in threading.enumerate() if t.name.startswith("probe-")]


def test_a_rollback_ends_the_destination_alone(hosts: Hosts) -> None:
    with hosts.probe() as probe:
        probe.start()
        probe.wait_until_flowing(5)
        probe.at_destination(hosts.agents["compute-2"])
        probe.wait_until_ready(5)
        probe.stop_destination()
        assert hosts.net.running == 2
        time.sleep(0.1)
        recording = probe.stop()
    said = reports(recording, moments=Moments())
    assert {(report.lost, report.gap_open, report.split) for report in said} == {(0, False, None)}


def test_an_end_that_dies_is_told_with_what_was_seen(hosts: Hosts) -> None:
    with hosts.probe() as probe:
        probe.start()
        probe.wait_until_flowing(5)
        hosts.fakes["compute-3"].die()
        time.sleep(0.1)
        recording = probe.stop()
    (problem,) = recording.problems
    assert problem.startswith("vm2 on compute-3: ")
    assert recording.ends["4 icmp from-vm 10.0.0.7"]["source"].received


def test_an_end_that_does_not_stop_is_ended(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fakevm.probes.probe.FLUSH_S", 0.2)
    hosts.net.stubborn = {"compute-3"}
    with hosts.probe() as probe:
        probe.start()
        probe.wait_until_flowing(5)
        recording = probe.stop()
    assert recording.problems == ("vm2 on compute-3: fakevm-probe has not ended by itself",)
    hosts.wait_until_ended()


@pytest.mark.parametrize("address", ["127.0.0.1/8", "::1/128"])
def test_the_real_program_does_as_it_is_told(hosts: Hosts, address: str) -> None:
    for fake in hosts.fakes.values():
        fake.programs[PROGRAM] = real_program
    vm, other = (replace(nic, addresses=(address,)) for nic in (VM, OTHER))
    prober = Prober(name="vm2", nic=other, agent=hosts.agents["compute-3"])
    # A ping needs root.
    flows = [flow for flow in plan([vm], [prober], first_port=29600) if flow.kind == "udp"]
    with Probe(flows, [prober], source=hosts.agents["compute-1"], port_id="vm-port") as probe:
        probe.start()
        probe.wait_until_ready(10)
        probe.wait_until_flowing(10)
        time.sleep(0.3)
        recording = probe.stop()
    assert recording.problems == ()
    for report in reports(recording, moments=Moments()):
        assert report.sent > 20
        assert (report.lost, report.duplicated, report.reordered) == (0, 0, 0)
        assert not report.gap_open


def test_a_host_that_is_gone_fails_the_start(hosts: Hosts) -> None:
    hosts.fakes["compute-3"].die()
    while not hosts.agents["compute-3"].lost:
        time.sleep(0.01)
    with hosts.probe() as probe, pytest.raises(UnavailableError, match="compute-3"):
        probe.start()
    hosts.wait_until_ended()
