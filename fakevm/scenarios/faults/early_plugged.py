"""F: what Nova hears before a live migration's guest is paused, and what the guest feels of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from fakevm.errors import FakevmError
from fakevm.migrate.request import MigrationRequest
from fakevm.neutron.values import Port
from fakevm.protocol.steps import Faults
from fakevm.reports.migration import MigrationReport
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import ACTIVE_S, Stage, flow_name
from fakevm.vms.boot import VIF_PLUGGED

VIF_UNPLUGGED = "network-vif-unplugged"

PEER = "peer"

# How long the guest runs on at the source, as while its memory is copied: Neutron gathers its
# events for a second.
COPY_S = 3.0

# How much later than it is wired that may be seen.
SEEN_S = 0.3

# What was sent just before the pause may be under way then.
UNDER_WAY_S = 0.2


def run(stage: Stage) -> Finding:
    """Migrate a VM, and compare what Nova hears with what the destination's L2 agent does."""
    source, destination = stage.hosts
    network = stage.network()
    vm = stage.vm(network, "vm", source)
    peer = stage.vm(network, PEER, destination)
    stage.settle()
    request = MigrationRequest(
        destination=destination,
        probes=[peer.name],
        faults=Faults(delays={"pause": COPY_S}),
        timeout_s=min(ACTIVE_S, stage.timeout_s),
    )
    with _watched(stage, destination, vm) as wired:
        # Whether the port is ACTIVE in the end is another scenario's subject.
        report = stage.migrate(vm, request, may_fail=["wait for ACTIVE"])
    return judge(report, wired_at=wired[0] if wired else None)


def judge(report: MigrationReport, *, wired_at: float | None) -> Finding:
    """Return what a migration's report says, and when the VIF was wired on the destination."""
    start = next(step.start for step in report.steps if step.name == "announce")
    end = next(step.end for step in report.steps if step.name == "activate")
    paused = report.moments.paused or end

    def heard(name: str) -> list[float]:
        events = (one for one in report.events if one.kind == "event" and one.name == name)
        return [one.time for one in events if start <= one.time < paused]

    def after(times: Iterable[float]) -> list[float]:
        return [round(t - start, 1) for t in times]

    plugged, unplugged = heard(VIF_PLUGGED), heard(VIF_UNPLUGGED)
    lost = {
        flow_name(flow, PEER): sum(start <= t < paused - UNDER_WAY_S for t in flow.samples.lost)
        for flow in report.flows
    }
    faults = []
    if any(wired_at is None or t < wired_at - SEEN_S for t in plugged):
        faults.append(f"{VIF_PLUGGED} came before the VIF was wired on the destination")
    if len(plugged) > 1:
        faults.append(f"{VIF_PLUGGED} came {len(plugged)} times")
    if unplugged:
        faults.append(f"{VIF_UNPLUGGED} came while the VM ran at the source")
    if any(lost.values()):
        faults.append(f"up to {max(lost.values())} packets of a flow were lost meanwhile")
    return Finding(
        fault=bool(faults),
        words=f"{'; '.join(faults)}." if faults else "No event was too early, or too many.",
        measured={
            "wired_after_s": after([wired_at])[0] if wired_at else None,
            "vif_plugged_after_s": after(plugged),
            "vif_unplugged_after_s": after(unplugged),
            "paused_after_s": round(paused - start, 1),
            "lost_before_the_pause": lost,
        },
        report=report,
    )


@contextmanager
def _watched(stage: Stage, host: str, port: Port) -> Iterator[list[float]]:
    """Give the time when a port's VIF was wired on a host, once it was."""
    times: list[float] = []

    def watch() -> None:
        # What goes wrong is seen by the time that is missing.
        with suppress(FakevmError):
            if stage.lab.is_wired(host, port.id, within_s=ACTIVE_S):
                times.append(time.time())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield times
    finally:
        watcher.join()


SCENARIO = Scenario(
    name="early-plugged",
    letter="F",
    title="a live migration's events are too early or too many, or packets are lost",
    shows=(
        "Nova waits for network-vif-plugged before it pauses the guest: the event is to mean that"
        " the destination is wired. The write of migrating_to binds the port anew, though the VM"
        " still runs at the source."
    ),
    reference="LP #1901707",
    expects=(
        "Before the guest is paused network-vif-plugged comes once, when the destination is wired,"
        " network-vif-unplugged does not come, and no packet is lost."
    ),
    run=run,
    migrates=True,
    tries=3,
)
