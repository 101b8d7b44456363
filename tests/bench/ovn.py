"""ML2/OVN: against what was measured of ML2/OVS, against ovn-fake-multinode, and fifty hosts."""

from __future__ import annotations

import functools
import random
import shlex
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench import many, measures
from tests.bench.figures import Figure, Report
from tests.bench.migrations import add, back_and_forth
from tests.bench.streams import Agent
from tests.bench.timing import medians, timed
from tests.integration.cloud import Cloud, Guest
from tests.integration.hosts import docker
from tests.integration.lab import COMPUTES, Lab

HOSTS = 50
PAIRS = 100
# How long the machine is watched that has nothing to do.
IDLE_S = 30
# An agent's `idle_s`, and some more.
ASLEEP_S = 330
# How long a command may take with many hosts.
LONGEST_S = 1200


def three_hosts(report: Report, lab: Lab) -> None:
    """Start a lab as large as that of ML2/OVS, and migrate in it."""
    lab.fakevm.ok("down", "--name", lab.name)
    try:
        start = time.perf_counter()
        computes = str(len(COMPUTES))
        lab.fakevm.ok("up", "--backend", "ovn", "--name", lab.name, "--computes", computes)
        with Cloud(lab, lab.name) as cloud:
            network, _ = measures.first_ping(cloud)
            seconds = time.perf_counter() - start
            ratio = seconds / report["up_s"]
            report.add(
                Figure(key="ovn_up_s", value=seconds, what="s, ML2/OVN: `up` to a first ping"),
                Figure(key="ovn_up_ratio", value=ratio, what="of ML2/OVS's", bar=0.8),
            )
            measures.memory(report, lab, prefix="ovn_")
            plug(report, lab)
            hosts = {"moves": "compute-1", "probes": "compute-2"}
            moving, prober = cloud.guests(network, hosts)
            add(report, back_and_forth(lab, moving, prober), "ovn_migrate", gap_bar=150)
    finally:
        lab.fakevm.ok("down", "--name", lab.name)


def plug(report: Report, lab: Lab) -> None:
    """Give a VM its network by the agent, and as ovn-fake-multinode does."""
    container = lab.host("compute-1").container

    def run(line: str) -> None:
        docker("exec", container, *shlex.split(line))

    with Agent(container) as agent:

        def by_agent() -> float:
            vif, vm = measures.made_up_vif()
            seconds = timed(lambda: agent.call("plug", vif=vif, vm=vm))
            agent.call("unplug", port_id=vif["port_id"])
            return seconds

        def by_script() -> float:
            vif, vm = measures.made_up_vif()
            # With one `docker exec` for each line.
            lines = measures.hand_plug(vif, vm).replace("'", "").strip().splitlines()
            seconds = sum(timed(functools.partial(run, line)) for line in lines)
            for line in measures.hand_unplug(vif, vm).splitlines():
                run(line)
            return seconds

        median = medians({"agent": by_agent, "script": by_script}, repeats=9)
    report.add(
        Figure(
            key="ovn_plug_script_ms",
            value=median["script"] * 1e3,
            what="ms, netns, veth and ovs-vsctl, a `docker exec` each, as ovn-fake-multinode",
        ),
        Figure(
            key="ovn_plug_ratio",
            value=median["script"] / median["agent"],
            what="times as fast by the agent",
            bar=5,
            better="higher",
        ),
    )


def fifty_hosts(report: Report, lab: Lab) -> None:
    """Start a lab of many hosts with a VM on each, and let some of them ping each other."""
    lab.fakevm.ok("down", "--name", lab.name)
    argv = ("--backend", "ovn", "--no-metadata", "--computes", str(HOSTS))
    try:
        seconds = timed(lambda: lab.fakevm.ok("up", "--name", lab.name, *argv, timeout_s=LONGEST_S))
        report.add(
            Figure(key="ovn_hosts_up_s", value=seconds, what=f"s, `up` with {HOSTS} compute hosts")
        )
        with Cloud(lab, lab.name) as cloud:
            network = cloud.network(cidr="10.99.0.0/24")
            hosts = {f"vm-{n}": f"compute-{n}" for n in range(1, HOSTS + 1)}
            start = time.perf_counter()
            # Without port security OVN answers no ARP itself: each question goes to every host.
            group = cloud.security_group()
            lab.sdk.network.create_security_group_rule(
                security_group_id=group, direction="ingress", protocol="icmp"
            )
            guests = cloud.guests(network, hosts, group=group)
            made_s = time.perf_counter() - start
            # Until every ovn-controller has heard of every port.
            sync = ("ovn", "nbctl", "--timeout=600", "--wait=hv", "sync")
            sync_s = timed(lambda: lab.fakevm.ok(*sync, timeout_s=LONGEST_S))
            answered = pings(guests)
            awake = a_host_holds(lab)
            # Until the agents have fallen asleep.
            time.sleep(ASLEEP_S)
            idle = busy_cores(IDLE_S)
            asleep = a_host_holds(lab)
            # Each of them wakes up.
            woken = timed(lambda: lab.fakevm.ok("list", timeout_s=LONGEST_S))
            listed = timed(lambda: lab.fakevm.ok("list", timeout_s=LONGEST_S))
            # A second VM on each.
            more = {f"vm-{n + HOSTS}": host for n, host in enumerate(hosts.values(), 1)}
            all_guests = (*guests, *cloud.guests(network, more, group=group))
            many.matrix(report, lab, all_guests, prefix="ovn_hosts_")
            many.page(report, lab, network, all_guests)
        report.add(
            Figure(key="ovn_hosts_vms_s", value=made_s, what="s, a VM on each of them"),
            Figure(
                key="ovn_hosts_sync_s",
                value=sync_s,
                what="s, until every chassis has heard of all (ovn-nbctl --wait=hv sync)",
            ),
            Figure(
                key="ovn_hosts_pings",
                value=answered,
                what=f"of {PAIRS} random pairs of {len(guests)} VMs",
                bar=PAIRS,
                better="higher",
            ),
            Figure(
                key="ovn_hosts_memory_mib",
                value=asleep,
                what="MiB, a compute host with a VM and nothing to do, in the mean",
                bar=45,
            ),
            Figure(
                key="ovn_hosts_memory_awake_mib",
                value=awake,
                what="MiB, the same while its agent is asked",
            ),
            Figure(
                key="ovn_hosts_list_asleep_s", value=woken, what="s, `list` while all are asleep"
            ),
            Figure(key="ovn_hosts_list_s", value=listed, what="s, `list` again"),
            Figure(
                key="ovn_hosts_idle_cores",
                value=idle,
                what="cores, all of the machine, with nothing to do",
                bar=0.5,
            ),
        )
    finally:
        lab.fakevm.ok("down", "--name", lab.name, timeout_s=LONGEST_S)


def a_host_holds(lab: Lab) -> float:
    """Return the MiB of a compute host, in the mean."""
    held = measures.held(lab).items()
    return statistics.mean(mib for name, mib in held if "-compute-" in name)


def pings(guests: Sequence[Guest]) -> int:
    """Let random pairs ping; return how many did."""
    chosen = [random.sample(guests, 2) for _ in range(PAIRS)]

    def ping(pair: list[Guest]) -> bool:
        one, other = pair
        argv = ("exec", "--host", one.host_name, one.port_id, "--")
        command = ("ping", "-n", "-c", "1", "-w", "10", other.ip)
        return one.lab.fakevm.run(*argv, *command).exit_code == 0

    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(ping, chosen))


def busy_cores(seconds: float) -> float:
    """Return how many of the machine's cores were busy for so long (proc(5), /proc/stat)."""

    def read() -> tuple[int, int]:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
        ticks = [int(word) for word in first.split()[1:9]]
        return sum(ticks), ticks[3] + ticks[4]

    total, idle = read()
    cores = sum(
        line.startswith("cpu")
        for line in Path("/proc/stat").read_text(encoding="ascii").splitlines()[1:]
    )
    time.sleep(seconds)
    total_after, idle_after = read()
    spent = total_after - total
    return (spent - (idle_after - idle)) / spent * cores
