"""Q: a live migration that northd is too slow for leaves the port DOWN where the VM has arrived."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace

from fakevm.backends.ovn import CENTRAL
from fakevm.errors import for_each
from fakevm.migrate.request import MigrationRequest
from fakevm.neutron.values import HttpRequest, Port
from fakevm.protocol.interrupt import deferred
from fakevm.reports.migration import MigrationReport
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import ACTIVE_S, Stage

PEER = "peer"

# How long a chassis may take to have its flows once it has claimed a port.
_INSTALLED_S = 1.0


def run(stage: Stage) -> Finding:
    """Migrate a VM while northd takes longer than the chassis that claims its port."""
    source, destination = stage.hosts
    network = stage.network()
    vm = stage.vm(network, "vm", source)
    peer = stage.vm(network, PEER, destination)
    request = MigrationRequest(
        destination=destination, probes=[peer.name], timeout_s=min(ACTIVE_S, stage.timeout_s)
    )
    with SlowNorthd(stage, vm, destination) as northd:
        report = stage.migrate(vm, request, may_fail=["wait for ACTIVE"], on_request=northd.sees)
    finding = judge(
        report,
        status=stage.neutron.port(vm.id).status,
        up=stage.in_service(CENTRAL, "ovn-nbctl", "lsp-get-up", vm.id),
    )
    if not finding.fault:
        return finding
    nudged = {"active_after_admin_state_s": stage.active_after_admin_state(vm)}
    return replace(finding, measured={**finding.measured, **nudged})


def judge(report: MigrationReport, *, status: str, up: str) -> Finding:
    """Return what became of the port, by Neutron and by OVN's northbound (lsp-get-up)."""
    lost = [flow for flow in report.flows if flow.gap_open]
    measured: dict[str, object] = {
        "status": status,
        "northbound": up,
        "dead_flows": len(lost),
    }
    if status == "ACTIVE":
        words = f"The port is ACTIVE on {report.destination}, though northd was slow."
        return Finding(fault=False, words=words, measured=measured, report=report)
    through = "Nothing gets through" if lost else "Packets get through all the same"
    words = (
        f"The port is {status} on {report.destination}, and it is {up} in the northbound."
        f" {through}."
    )
    return Finding(fault=True, words=words, measured=measured, report=report)


class SlowNorthd:
    """Lets northd do nothing between a chassis' claim of a port and its word that it is up.

    In a lab northd takes milliseconds; where it has some thousand ports to think of, seconds. What
    it does before the claim is waited for: the chassis are halted for so long.
    """

    def __init__(self, stage: Stage, port: Port, destination: str) -> None:
        self._stage = stage
        self._port = port
        self._destination = destination
        # In the order in which they go on. Were the source the first, or both at once, it might
        # take the port from the destination again, which northd would see.
        self._halted = {host: ExitStack() for host in reversed(stage.hosts)}
        self._over = False

    def __enter__(self) -> SlowNorthd:
        return self

    def __exit__(self, *_: object) -> None:
        with deferred():
            for_each(list(self._halted), self._go_on)

    def sees(self, sent: HttpRequest) -> None:
        """Follow a migration by its requests."""
        if self._over:
            return
        if sent.method == "PUT" and sent.path.endswith("/activate"):
            self._over = True
            self._claim()
        elif sent.method == "GET" and sent.path.endswith(f"/bindings/{self._destination}"):
            # Nova looks at the binding just before it activates it.
            for host, halted in self._halted.items():
                halted.enter_context(self._stage.halted(host))

    def _claim(self) -> None:
        chassis = self._central("ovn-sbctl", "get", "Chassis", self._destination, "_uuid")
        self._wait_until(f"requested_chassis={chassis}")
        with ExitStack() as undo:
            appctl = ("ovn-appctl", "-t", "ovn-northd")
            with deferred():
                undo.callback(self._central, *appctl, "resume")
                self._central(*appctl, "pause")
            self._stage.say(f"{self._destination} claims the port, and northd is busy")
            for host in self._halted:
                self._go_on(host)
                self._wait_until(f"chassis={chassis}", "up=true")
                time.sleep(_INSTALLED_S)

    def _go_on(self, host: str) -> None:
        self._halted[host].close()

    def _wait_until(self, *conditions: str) -> None:
        timeout = f"--timeout={self._stage.timeout_s:.0f}"
        self._central(
            "ovn-sbctl", timeout, "wait-until", "Port_Binding", self._port.id, *conditions
        )

    def _central(self, *argv: str) -> str:
        return self._stage.in_service(CENTRAL, *argv)


SCENARIO = Scenario(
    name="arrived-down",
    letter="Q",
    title="a live migration that northd is too slow for leaves the port DOWN",
    shows=(
        "The activation sets the port DOWN. Neutron sets it ACTIVE when it sees its logical switch"
        " port go from down to up, or its Port_Binding change its chassis; but not where an"
        " additional_chassis goes in the same transaction (ovsdb_monitor.py,"
        " PortBindingChassisUpdateEvent.match_fn), as when the destination claims the port of a"
        " live migration. If northd takes longer than the claim, the logical switch port was never"
        " down. Now and then it comes on an idle lab; here northd stands still meanwhile, as long"
        " as it would take in a large cloud."
    ),
    reference=(
        "no bug number is known; ovsdb_monitor.py, PortBindingChassisUpdateEvent.match_fn. Nothing"
        " reconciles the status later: github.com/bigstack-oss/cubecos, issue 1324"
    ),
    expects="The port is ACTIVE on its destination.",
    run=run,
    not_on={"ovs": "it is the L2 agent that says that a port is up, without northd in between"},
    migrates=True,
)
