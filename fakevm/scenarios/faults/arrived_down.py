"""Q: a live migration leaves the port DOWN where the VM has arrived: OVN never called it down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def run(stage: Stage) -> Finding:
    """Migrate a VM in one way in which its port stays up in the northbound, and back in another."""
    here, there = stage.hosts
    network = stage.network()
    vm = stage.vm(network, "vm", here)
    peer = stage.vm(network, PEER, there)
    finding = _migrate(Handover(stage, vm, here, there, Handover.claimed_first), peer)
    if finding.fault:
        return finding
    return _migrate(Handover(stage, vm, there, here, Handover.unseen_by_northd), peer)


def _migrate(handover: Handover, peer: Port) -> Finding:
    stage, vm = handover.stage, handover.port
    request = MigrationRequest(
        destination=handover.destination,
        probes=[peer.name],
        timeout_s=min(ACTIVE_S, stage.timeout_s),
    )
    with handover:
        report = stage.migrate(vm, request, may_fail=["wait for ACTIVE"], on_request=handover.sees)
    finding = judge(
        report,
        way=WAYS[handover.order],
        status=stage.neutron.port(vm.id).status,
        up=stage.in_service(CENTRAL, "ovn-nbctl", "lsp-get-up", vm.id),
    )
    if not finding.fault:
        return finding
    nudged = {"active_after_admin_state_s": stage.active_after_admin_state(vm)}
    return replace(finding, measured={**finding.measured, **nudged})


def judge(report: MigrationReport, *, way: str, status: str, up: str) -> Finding:
    """Return what became of the port, by Neutron and by OVN's northbound (lsp-get-up)."""
    lost = [flow for flow in report.flows if flow.gap_open]
    measured: dict[str, object] = {
        "way": way,
        "status": status,
        "northbound": up,
        "dead_flows": len(lost),
    }
    if status == "ACTIVE":
        words = f"The port is ACTIVE on {report.destination}, though it was {way}."
        return Finding(fault=False, words=words, measured=measured, report=report)
    through = "Nothing gets through" if lost else "Packets get through all the same"
    words = (
        f"The port was {way}: it is {status} on {report.destination}, and {up} in the northbound."
        f" {through}."
    )
    return Finding(fault=True, words=words, measured=measured, report=report)


class Handover:
    """Lets one chassis after the other hear that a port's destination is the active one.

    Both hear of it at once, and each order comes of its own accord, also on an idle lab.
    """

    def __init__(
        self,
        stage: Stage,
        port: Port,
        source: str,
        destination: str,
        order: Callable[[Handover], None],
    ) -> None:
        self.stage = stage
        self.port = port
        self.destination = destination
        self.order = order
        self._source_halted = ExitStack()
        self._destination_halted = ExitStack()
        self._halted = {source: self._source_halted, destination: self._destination_halted}
        self._over = False

    def __enter__(self) -> Handover:
        return self

    def __exit__(self, *_: object) -> None:
        with deferred():
            for_each(list(self._halted.values()), ExitStack.close)

    def sees(self, sent: HttpRequest) -> None:
        """Follow a migration by its requests."""
        if self._over:
            return
        if sent.method == "PUT" and sent.path.endswith("/activate"):
            self._over = True
            self.order(self)
        elif sent.method == "GET" and sent.path.endswith(f"/bindings/{self.destination}"):
            # Nova looks at the binding just before it activates it.
            for host, halted in self._halted.items():
                halted.enter_context(self.stage.halted(host))

    def claimed_first(self) -> None:
        """The destination is quicker than the source, which then finds nothing to release."""
        self._destination_halted.close()
        self._wait_until(f"chassis={self._chassis()}")
        self._source_halted.close()

    def unseen_by_northd(self) -> None:
        """The source is quicker, and both are quicker than northd."""
        chassis = self._chassis()
        self._wait_until(f"requested_chassis={chassis}")
        with ExitStack() as undo:
            appctl = ("ovn-appctl", "-t", "ovn-northd")
            with deferred():
                undo.callback(self._central, *appctl, "resume")
                self._central(*appctl, "pause")
            self.stage.say("northd is busy")
            self._source_halted.close()
            self._wait_until("chassis=[]")
            self._destination_halted.close()
            self._wait_until(f"chassis={chassis}", "up=true")

    def _chassis(self) -> str:
        return self._central("ovn-sbctl", "get", "Chassis", self.destination, "_uuid")

    def _wait_until(self, *conditions: str) -> None:
        timeout = f"--timeout={self.stage.timeout_s:.0f}"
        self._central("ovn-sbctl", timeout, "wait-until", "Port_Binding", self.port.id, *conditions)

    def _central(self, *argv: str) -> str:
        return self.stage.in_service(CENTRAL, *argv)


WAYS: Mapping[Callable[[Handover], None], str] = {
    Handover.claimed_first: "claimed before it was released",
    Handover.unseen_by_northd: "claimed before northd saw its release",
}

SCENARIO = Scenario(
    name="arrived-down",
    letter="Q",
    title="a live migration whose port OVN never calls down leaves it DOWN",
    shows=(
        "The activation sets the port DOWN (plugin.py, Ml2Plugin.activate), and both chassis hear"
        " of it at once. Neutron sets it ACTIVE when its logical switch port goes from down to up:"
        " that it does if the source releases it first, and northd sees that before the"
        " destination claims it. If the destination is the first, one transaction changes the"
        " Port_Binding's chassis and empties additional_chassis, which Neutron leaves out since"
        " 28.0.0; and a claim of what has no chassis it always did, as it waits for northd"
        " (ovsdb_monitor.py, PortBindingChassisUpdateEvent.match_fn). One migration of seven ends"
        " so on an idle lab, nearly always in the first way. Here a chassis, and then northd,"
        " stands still until the others are done, as one that has much to do."
    ),
    reference=(
        "no bug number is known; the check came with the change for LP #2069718 (Neutron's commit"
        " ee20f78e72). Nothing reconciles the status later: github.com/bigstack-oss/cubecos, issue"
        " 1324"
    ),
    expects="The port is ACTIVE on its destination.",
    run=run,
    not_on={"ovs": "it is the L2 agent that says that a port is up, without northd in between"},
    migrates=True,
)
