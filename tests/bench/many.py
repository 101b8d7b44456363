"""What is asked of a hundred VMs: commands in all of them, every pair, a page that shows them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.request import urlopen

from tests.bench.figures import Figure, Report
from tests.bench.timing import medians, timed
from tests.integration.cloud import Guest
from tests.integration.hosts import docker
from tests.integration.lab import Lab
from tests.integration.page import ask
from tests.waiting import wait_until

# How often a short command is timed.
REPEATS = 5
# How many `docker exec` stand for one in each VM.
SAMPLE = 10
# How long the longest may take.
LONGEST_S = 600


def execute(report: Report, lab: Lab, guests: Sequence[Guest]) -> None:
    """Run `true` in each VM at once, and by `docker exec` one after the other."""
    argv = ("exec", "--all", "--", "true")
    seconds = median(lambda: lab.fakevm.ok(*argv, timeout_s=LONGEST_S))
    containers = {name: host.container for name, host in lab.hosts().items()}

    def by_docker() -> None:
        for guest in guests[:SAMPLE]:
            netns = ("ip", "netns", "exec", guest.instance_id)
            docker("exec", containers[guest.host_name], *netns, "true")

    raw = timed(by_docker) / len(guests[:SAMPLE]) * len(guests)
    report.add(
        Figure(key="exec_all_s", value=seconds, what=f"s, `exec --all`: {len(guests)} VMs", bar=1),
        Figure(
            key="exec_all_ratio",
            value=raw / seconds,
            what="times as fast as `docker exec` one after the other",
            bar=20,
            better="higher",
        ),
    )


def matrix(
    report: Report,
    lab: Lab,
    guests: Sequence[Guest],
    *,
    prefix: str = "",
    bar_s: float | None = None,
) -> None:
    """Let every VM ping every other one."""
    start = time.perf_counter()
    told = json.loads(lab.fakevm.run("ping", "-f", "json", timeout_s=LONGEST_S).stdout)
    seconds = time.perf_counter() - start
    report.add(
        Figure(
            key=f"{prefix}ping_pairs",
            value=sum(pair["answered"] is pair["expected"] for pair in told["pairs"]),
            what=f"pairs of {len(guests)} VMs and more that `ping` saw as expected",
            bar=len(told["pairs"]),
            better="higher",
        ),
        Figure(
            key=f"{prefix}ping_all_s", value=seconds, what="s, `ping` of all of them", bar=bar_s
        ),
    )


def short(report: Report, lab: Lab, guests: Sequence[Guest]) -> None:
    """Time what a person waits for."""
    one, other = guests[0], guests[-1]
    fakevm = str(lab.fakevm.executable)
    words = {"_FAKEVM_COMPLETE": "bash_complete", "COMP_WORDS": "fakevm exec ", "COMP_CWORD": "2"}
    env = lab.fakevm.environment() | words

    def trace() -> None:
        lab.fakevm.ok("trace", one.port_id, other.port_id)

    def complete() -> None:
        offered = subprocess.run((fakevm,), env=env, check=True, capture_output=True, text=True)
        assert len(offered.stdout.splitlines()) >= len(guests), offered

    def doctor() -> None:
        # Its word on the machine is not asked for.
        lab.fakevm.run("doctor")

    figures = (
        ("trace_s", "s, `trace` of a pair", 2, trace),
        ("doctor_s", "s, `doctor`", 2, doctor),
        ("complete_s", "s, a shell's completion of `exec`", 0.15, complete),
    )
    for key, what, bar, act in figures:
        report.add(Figure(key=key, value=median(act), what=what, bar=bar))


def page(report: Report, lab: Lab, network: str, guests: Sequence[Guest]) -> None:
    """Load the live page, and see how far it is behind."""
    with served(lab) as url:

        def state() -> Any:
            return ask(url, "/state")

        def shown(name: str) -> None:
            wait_until(name, lambda: name in state()["svg"])

        def load() -> None:
            with urlopen(url, timeout=60) as answer:
                assert b"<script" in answer.read()
            wait_until("the picture", lambda: len(state()["vms"] or ()) == len(guests))

        seconds = timed(load)
        behind = []
        for n in range(REPEATS):
            # No event tells of it: the page finds it by itself.
            name = f"renamed-{n}"
            lab.sdk.network.update_network(network, name=name)
            behind.append(timed(partial(shown, name)))
    report.add(
        Figure(key="ui_load_s", value=seconds, what="s, until the page shows all VMs", bar=2),
        Figure(key="ui_behind_s", value=max(behind), what="s behind, at most", bar=2),
    )


@contextmanager
def served(lab: Lab) -> Iterator[str]:
    process = lab.fakevm.start("ui")
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate(timeout=60)


def median(act: Callable[[], object]) -> float:
    """Return the median seconds of an act."""
    return medians({"act": lambda: timed(act)}, repeats=REPEATS)["act"]
