"""R: Nova is told that a VIF is plugged, and nothing is wired yet where the guest is to run."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

from fakevm.errors import FakevmError
from fakevm.migrate.request import MigrationRequest
from fakevm.neutron.values import HttpRequest
from fakevm.reports.migration import MigrationReport
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import ACTIVE_S, Stage
from fakevm.vms.boot import VIF_PLUGGED

PEER = "peer"

# How long who wires the destination's VIFs is busy, from the binding on.
BUSY_S = 6.0


def run(stage: Stage) -> Finding:
    """Migrate a VM while who wires the destination's VIFs is busy with something else."""
    source, destination = stage.hosts
    network = stage.network()
    vm = stage.vm(network, "vm", source)
    peer = stage.vm(network, PEER, source)
    stage.settle()
    request = MigrationRequest(
        destination=destination, probes=[peer.name], timeout_s=min(ACTIVE_S, stage.timeout_s)
    )
    halt = ExitStack()
    goes_on: list[float] = []

    def go_on() -> None:
        halt.close()
        goes_on.append(time.time())

    timer = threading.Timer(BUSY_S, go_on)

    def sees(sent: HttpRequest) -> None:
        if sent.method == "POST" and sent.path.endswith("/bindings"):
            halt.enter_context(stage.halted(destination))
            timer.start()

    try:
        # Whether the port is ACTIVE in the end is another scenario's subject.
        report = stage.migrate(vm, request, may_fail=["wait for ACTIVE"], on_request=sees)
        timer.join()
    finally:
        timer.cancel()
        halt.close()
    if not goes_on:
        raise FakevmError(f"the L2 agent of {destination} could not be let go on")
    return judge(report, goes_on=goes_on[0])


def judge(report: MigrationReport, *, goes_on: float) -> Finding:
    """Return what Nova heard before anybody could wire the VIF, and what the guest lost of it."""
    start = next(step.start for step in report.steps if step.name == "announce")
    plugged = [
        round(one.time - start, 1)
        for one in report.events
        if one.kind == "event" and one.name == VIF_PLUGGED and one.time >= start
    ]
    free_s = round(goes_on - start, 1)
    gap = max((flow.longest_gap_ms for flow in report.flows), default=0.0)
    measured = {
        "vif_plugged_after_s": plugged,
        "busy_until_s": free_s,
        "longest_gap_ms": round(gap),
    }
    early = [at for at in plugged if at < free_s]
    if not early:
        words = f"{VIF_PLUGGED} came only when the destination could wire the VIF."
        return Finding(fault=False, words=words, measured=measured, report=report)
    words = (
        f"{VIF_PLUGGED} came after {early[0]} s, though {report.destination} wired nothing until"
        f" {free_s} s; Nova went on, and the VM was without network for {gap:.0f} ms."
    )
    return Finding(fault=True, words=words, measured=measured, report=report)


SCENARIO = Scenario(
    name="plugged-unwired",
    letter="R",
    title="a live migration goes on before the destination has wired the VIF",
    shows=(
        "Nova lets the guest go when it hears network-vif-plugged. ML2/OVN without ovs_create_tap"
        " sends it of its own accord when migrating_to is written (mech_driver.py,"
        " update_port_postcommit), with it when the destination has claimed the port; ML2/OVS sends"
        " it when the source's L2 agent deals with that write. Nobody asks whether the destination"
        " has wired the VIF. Here who wires its VIFs, ovn-controller or the L2 agent, stands still"
        f" for {BUSY_S:g} s, as one that has much to do."
    ),
    reference="LP #2158253, LP #2069718 (ML2/OVN); LP #1901707 (ML2/OVS)",
    expects="network-vif-plugged comes when the destination has wired the VIF.",
    run=run,
    migrates=True,
)
