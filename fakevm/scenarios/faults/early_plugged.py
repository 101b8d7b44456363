"""F: what Nova hears before a live migration's guest is paused, and what the guest feels of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from fakevm.clients.agents import Agent
from fakevm.errors import FakevmError
from fakevm.migrate.request import MigrationRequest
from fakevm.protocol.steps import Faults
from fakevm.reports.migration import MigrationReport
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import ACTIVE_S, INTERVAL_S, Stage, flow_name
from fakevm.vms.boot import VIF_PLUGGED

VIF_UNPLUGGED = "network-vif-unplugged"

PEER = "peer"

# How long the guest runs on at the source, as while its memory is copied: Neutron gathers its
# events for a second.
COPY_S = 3.0

# What was sent just before the pause may be under way then.
UNDER_WAY_S = 0.2


@dataclass(kw_only=True)
class Wiring:
    """When a VIF was last seen without its local VLAN, and first with it; since the epoch."""

    missing_at: float = 0.0
    seen_at: float | None = None


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
    with _watched(stage.lab.agent(destination), vm.id) as wiring:
        # Whether the port is ACTIVE in the end is another scenario's subject.
        report = stage.migrate(vm, request, may_fail=["wait for ACTIVE"])
    return judge(report, wiring)


def judge(report: MigrationReport, wiring: Wiring) -> Finding:
    """Return what a migration's report says, and the VIF's wiring on the destination."""
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
    if any(t < wiring.missing_at for t in plugged):
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
            "wired_after_s": after([wiring.seen_at])[0] if wiring.seen_at else None,
            "vif_plugged_after_s": after(plugged),
            "vif_unplugged_after_s": after(unplugged),
            "paused_after_s": round(paused - start, 1),
            "lost_before_the_pause": lost,
        },
        report=report,
    )


@contextmanager
def _watched(agent: Agent, port_id: str) -> Iterator[Wiring]:
    """Look at a VIF on a host until the L2 agent has given it its local VLAN."""
    wiring = Wiring()
    over = threading.Event()

    def watch() -> None:
        while wiring.seen_at is None and not over.wait(INTERVAL_S):
            with suppress(FakevmError):
                asked = time.time()
                if any(vif.vlan_tag is not None for vif in agent.vifs(port_id)):
                    wiring.seen_at = time.time()
                else:
                    wiring.missing_at = asked

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield wiring
    finally:
        over.set()
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
