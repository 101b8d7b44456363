"""A: after a live migration the port stays DOWN, and nobody learns where the VM is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fakevm.migrate.request import MigrationRequest
from fakevm.neutron.values import Port
from fakevm.reports.migration import FlowReport, MigrationReport
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import ACTIVE_S, Stage, flow_name

PEER = "peer"


def run(stage: Stage) -> Finding:
    """Migrate a VM while another one, on the host that it leaves, talks with it."""
    source, destination = stage.hosts
    network = stage.network()
    vm = stage.vm(network, "vm", source)
    # Only what is not on the destination needs l2population's word to find the VM there.
    peer = stage.vm(network, PEER, source)
    request = MigrationRequest(
        destination=destination, probes=[peer.name], timeout_s=min(ACTIVE_S, stage.timeout_s)
    )
    report = stage.migrate(vm, request, may_fail=["wait for ACTIVE"])
    port = stage.neutron.port(vm.id)
    finding = judge(report, status=port.status, host=port.host)
    if not finding.fault:
        return finding
    return replace(finding, measured={**finding.measured, **_nudged(stage, port)})


def judge(report: MigrationReport, *, status: str, host: str) -> Finding:
    """Return what a migration's report, and the port afterwards, say."""
    active_after_s = _active_after(report)
    measured = {
        "status_since_activate": _statuses(report),
        "active_after_s": active_after_s,
        "flows": {flow_name(flow, PEER): _fate(flow) for flow in report.flows},
    }
    dead = [flow for flow in report.flows if flow.gap_open]
    if status == "ACTIVE" and not dead:
        gap = max(flow.longest_gap_ms for flow in report.flows)
        words = (
            f"The port was ACTIVE {active_after_s} s after the activation; the VM was without"
            f" network for {gap:.0f} ms."
        )
        return Finding(fault=False, words=words, measured=measured, report=report)
    seconds = report.ended - (report.moments.activated or report.started)
    told = f"The port is {status} on {host} {seconds:.0f} s after the activation."
    words = f"{told} {_loss_words(report, dead)}"
    return Finding(fault=True, words=words, measured=measured, report=report)


def _loss_words(report: MigrationReport, dead: Sequence[FlowReport]) -> str:
    if not dead:
        return "Packets get through all the same."
    return f"Nothing gets through any more in {len(dead)} of {len(report.flows)} flows."


def _nudged(stage: Stage, port: Port) -> dict[str, object]:
    """See whether any other change of the port wakes the L2 agent up."""
    stage.say("changing the port's name, which has nothing to do with it")
    stage.neutron.update_port(port.id, {"name": f"{port.name}-nudged"})
    return {
        "active_after_another_update_s": stage.seconds_until(
            lambda: stage.neutron.port(port.id).status == "ACTIVE"
        )
    }


def _statuses(report: MigrationReport) -> list[str]:
    """Return the port's statuses from the activation on, the one that it had then first."""
    since = report.moments.activated or 0
    before = [one.status for one in report.statuses if one.time < since]
    return before[-1:] + [one.status for one in report.statuses if one.time >= since]


def _active_after(report: MigrationReport) -> float | None:
    since = report.moments.activated or 0
    found = [one.time for one in report.statuses if one.time >= since and one.status == "ACTIVE"]
    return round(found[-1] - since, 1) if found else None


def _fate(flow: FlowReport) -> str:
    gap = f"{'at least ' if flow.gap_open else ''}{flow.longest_gap_ms:.0f} ms"
    return f"{flow.lost} of {flow.sent} lost, longest gap {gap}"


SCENARIO = Scenario(
    name="stays-down",
    letter="A",
    title="the port stays DOWN after a live migration",
    shows=(
        "After the activation the destination's L2 agent takes the port for one that migrates away"
        " again, and skips it: its status stays DOWN, and with l2population the other hosts never"
        " learn where the VM is."
    ),
    reference=(
        "Neutron 29.0.0, commit “OVS: Prevent source agent to process ports being migrated”;"
        " no bug number is known"
    ),
    expects="The port is ACTIVE within seconds after the activation, and packets get through.",
    run=run,
    not_on={"ovn": "no L2 agent skips the port; a port stays DOWN as arrived-down has it"},
    migrates=True,
    tries=3,
)
