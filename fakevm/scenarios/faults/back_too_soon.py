"""N: an L2 agent that was busy deletes the OVS port of a VM that is back on its host."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from fakevm.errors import WaitTimeoutError
from fakevm.migrate.move import Switches
from fakevm.migrate.request import MigrationRequest
from fakevm.neutron.values import Port
from fakevm.reports.migration import MigrationReport
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import ACTIVE_S, Stage

# The L2 agent's loop looks every second whether there is something to do.
LOOP_S = 1.5

# For what does not come while Neutron's RPC server stands still.
_NOT_WAITED_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Back:
    """What there is of the VM's port on its host when the L2 agent there has caught up."""

    # Of the port.
    status: str
    # Whether br-int has its OVS port.
    plugged: bool
    # None: it was not ACTIVE.
    active_after_s: float | None


def run(stage: Stage) -> Finding:
    """Migrate a VM away and back while the L2 agent that it leaves waits for Neutron's answer."""
    source, destination = stage.hosts
    network = stage.network()
    vm = stage.vm(network, "vm", source)
    bystander = stage.vm(network, "bystander", source)
    stage.settle()
    with stage.paused("neutron-rpc"):
        stage.say(f"changing the bystander's name, which the L2 agent of {source} reports")
        stage.neutron.update_port(bystander.id, {"name": f"{bystander.name}-changed"})
        # From then on its loop waits. Its other threads take note of what Neutron tells it.
        time.sleep(LOOP_S)
        away = _migrate(stage, vm, destination)
        back = _migrate(stage, stage.neutron.port(vm.id), source)
    finding = judge(_caught_up(stage, vm, source), away=away, back=back)
    if not finding.fault:
        return finding
    return replace(finding, measured={**finding.measured, **_plugged_anew(stage, vm)})


def judge(seen: Back, *, away: MigrationReport, back: MigrationReport) -> Finding:
    """Return what is left of the VM's port after its two migrations."""
    measured = {
        "back_after_s": round(back.ended - away.started, 1),
        "status": seen.status,
        "ovs_port": "there" if seen.plugged else "deleted",
        "active_after_s": seen.active_after_s,
    }
    told = f"The VM was back on {back.destination} after {measured['back_after_s']} s"
    if seen.plugged:
        words = f"{told}, and its OVS port is there; the port is {seen.status}."
        return Finding(fault=False, words=words, measured=measured, report=back)
    words = (
        f"{told}, and then the L2 agent there deleted its OVS port: the port is {seen.status}, and"
        " nobody plugs it again."
    )
    return Finding(fault=True, words=words, measured=measured, report=back)


def _migrate(stage: Stage, vm: Port, destination: str) -> MigrationReport:
    # As with [compute] live_migration_wait_for_vif_plug = false: the event is the RPC server's.
    request = MigrationRequest(
        destination=destination, switches=Switches(wait=False), timeout_s=_NOT_WAITED_S
    )
    return stage.migrate(vm, request, may_fail=["wait for ACTIVE"])


def _caught_up(stage: Stage, vm: Port, host: str) -> Back:
    """Wait until the port is ACTIVE, or has no OVS port any more."""
    agent = stage.lab.agent(host)

    def plugged() -> bool:
        return any(vif.ofport is not None for vif in agent.vifs(vm.id))

    def active() -> bool:
        return stage.neutron.port(vm.id).status == "ACTIVE"

    seconds = stage.seconds_until(lambda: not plugged() or active(), within_s=ACTIVE_S)
    there = plugged()
    return Back(
        status=stage.neutron.port(vm.id).status,
        plugged=there,
        active_after_s=seconds if there else None,
    )


def _plugged_anew(stage: Stage, vm: Port) -> dict[str, object]:
    """See whether a plug, which nobody would do, brings it back."""
    stage.say("plugging the VM anew, as nobody would")
    start = time.monotonic()
    try:
        stage.lab.plug(vm.id, timeout_s=min(ACTIVE_S, stage.timeout_s))
    except WaitTimeoutError as error:
        stage.say(str(error))
        return {"active_after_a_plug_s": None}
    return {"active_after_a_plug_s": round(time.monotonic() - start, 1)}


SCENARIO = Scenario(
    name="back-too-soon",
    letter="N",
    title="a VM that migrates away and back loses its OVS port",
    shows=(
        "An L2 agent notes that a binding was deactivated, and deletes the OVS port in its loop's"
        " next round. If the loop is busy until the VM is back, what it deletes is the port that"
        " was plugged anew (ovs_neutron_agent.py, process_deactivated_bindings), and the VM is"
        " without network: “was not found on the integration bridge”, “skipped, changing status to"
        " down”. Here the loop waits for Neutron's RPC server, which stands still."
    ),
    reference=(
        "commit “Add binding de-activation to OVS agent” (2018, part of LP #1580880); no bug number"
        " is known"
    ),
    expects="The VM's OVS port stays on the host that the VM is on.",
    run=run,
    not_on={"ovn": "ovn-controller deletes no OVS port; there is no L2 agent with such a loop"},
    migrates=True,
)
