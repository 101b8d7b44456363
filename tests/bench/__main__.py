"""Measures a lab of its own and prints what it finds: `python -m tests.bench`."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime

from tests.bench import labfile, many, measures, ovn
from tests.bench.figures import Figure, Report
from tests.bench.migrations import migrations
from tests.bench.timing import timed
from tests.integration import plain
from tests.integration.cloud import Cloud, Guest
from tests.integration.hosts import docker
from tests.integration.lab import COMPUTES, Lab

# VMs in a lab of three hosts, of which all are asked something at once.
MANY = 100


def main() -> None:
    """Bring a lab up by compose alone, then by us, and measure in it."""
    report = Report(machine=machine())
    lab = Lab("bench")
    try:
        raw_s = up_by_compose(lab)
        with Cloud(lab, lab.name) as cloud:
            network, guest = up(report, lab, cloud, raw_s=raw_s)
            measures.plug(report, lab)
            measures.execute(report, lab, guest)
            measures.create_port(report, lab, cloud, network)
            measures.memory(report, lab)
            hosts = {f"many-{n}": COMPUTES[n % len(COMPUTES)] for n in range(MANY)}
            guests = cloud.guests(cloud.network(cidr="10.98.0.0/24"), hosts)
            many.execute(report, lab, guests)
            many.matrix(report, lab, guests, bar_s=30)
            many.short(report, lab, guests)
        labfile.add(report, lab)
        measures.images(report, lab)
        migrations(report, lab)
    finally:
        lab.fakevm.ok("down", "--name", lab.name)
    ovn.three_hosts(report, Lab("bench-ovn"))
    ovn.fifty_hosts(report, Lab("bench-fifty"))
    report.write(plain.ROOT / "bench.json")
    print(f"\nThe bars (bench.json has every figure):\n{report.summary()}")


def machine() -> dict[str, object]:
    return {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "docker": docker("version", "--format", "{{.Server.Version}}").strip(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def up_by_compose(lab: Lab) -> float:
    """Return the seconds of `docker compose up -d --wait`; the lab is gone again after."""
    lab.fakevm.ok("down", "--name", lab.name)
    env = plain.environment(lab.name)
    seconds = timed(lambda: plain.run("docker", "compose", "up", "-d", "--wait", env=env))
    plain.run("docker", "compose", "down", "-v", env=env)
    return seconds


def up(report: Report, lab: Lab, cloud: Cloud, *, raw_s: float) -> tuple[str, Guest]:
    """Start the lab until a first VM has pinged another on another host."""
    start = time.perf_counter()
    said = lab.fakevm.json("up", "--name", lab.name, "--computes", str(len(COMPUTES)))
    up_s = time.perf_counter() - start
    network, one = measures.first_ping(cloud)
    seconds = time.perf_counter() - start
    report.add(
        Figure(key="up_s", value=seconds, what="s, `up` to a first ping between hosts", bar=30),
        Figure(key="up_raw_s", value=raw_s, what="s, `docker compose up -d --wait`"),
        Figure(key="up_ratio", value=up_s / raw_s, what="`fakevm up` / compose"),
    )
    report.add_breakdown("up_phases", {**said["phases"], "a first ping": seconds - up_s})
    return network, one


if __name__ == "__main__":
    main()
