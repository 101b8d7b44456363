"""P: a live migration that was rolled back leaves the port DOWN, though its VM goes on."""

from __future__ import annotations

from fakevm.migrate.request import MigrationRequest
from fakevm.neutron.values import Port
from fakevm.protocol.steps import Faults
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import ACTIVE_S, Stage


def run(stage: Stage) -> Finding:
    """Let a migration fail before the guest's pause, and look at the port's status afterwards."""
    source, destination = stage.hosts
    network = stage.network()
    vm = stage.vm(network, "vm", source)
    peer = stage.vm(network, "peer", destination)
    stage.settle()
    request = MigrationRequest(destination=destination, faults=Faults(fail_at="pause"))
    stage.migrate(vm, request, may_fail=["pause"])
    stage.say(f"waiting for the port to be ACTIVE again on {source}")
    measured: dict[str, object] = {"active_after_s": stage.active_after(vm)}
    exit_code, _ = stage.tried_in_vm(peer, "ping", "-c", "3", "-W", "2", _address(vm))
    measured["answers"] = exit_code == 0
    if measured["active_after_s"] is not None:
        words = f"The port was ACTIVE again on {source} after {measured['active_after_s']} s."
        return Finding(fault=False, words=words, measured=measured)
    measured["active_after_admin_state_s"] = stage.active_after_admin_state(vm)
    reached = "answers" if measured["answers"] else "does not answer"
    words = f"The port is DOWN on {source}, {ACTIVE_S:g} s after the rollback; its VM {reached}."
    return Finding(fault=True, words=words, measured=measured)


def _address(port: Port) -> str:
    return port.fixed_ips[0].ip_address


SCENARIO = Scenario(
    name="rolled-back-down",
    letter="P",
    title="a live migration that is rolled back leaves the port DOWN",
    shows=(
        "A live migration fails before the guest's pause. The write of migrating_to binds the port"
        " anew, and so does the write that takes it back: each sets it DOWN. ML2/OVN sets it ACTIVE"
        " when OVN reports a change, and of this one makes none"
        " (ovsdb_monitor.PortBindingChassisUpdateEvent leaves out an additional_chassis that goes)."
    ),
    reference="no bug number is known; ovsdb_monitor.py, PortBindingChassisUpdateEvent.match_fn",
    expects="The port is ACTIVE on its source again.",
    run=run,
)
