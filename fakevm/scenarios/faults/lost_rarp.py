"""G: who has no word from a VM after its migration goes on sending to where it was."""

from __future__ import annotations

import time

from fakevm.errors import FakevmError
from fakevm.migrate.move import Switches
from fakevm.migrate.request import MigrationRequest
from fakevm.neutron.values import Network, Port
from fakevm.protocol.steps import Faults
from fakevm.reports.migration import MigrationReport
from fakevm.scenarios.faults import frames
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage

# QEMU sends the last of its five frames 0.8 s after the guest runs (net/announce.c).
REACHED_S = 1.5

# How long the guest runs on at the source, as while its memory is copied: until the listener at the
# destination is there.
COPY_S = 2.0

# How long is listened on after the migration.
AFTER_S = 3.0

# The port's status is another scenario's subject.
ACTIVE_S = 5.0


def run(stage: Stage) -> Finding:
    """Send frames to a VM that is silent while it migrates, with and without RARP."""
    source, _ = stage.hosts
    # Without l2population's tables: switches learn where a MAC is.
    physical = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}
    network = stage.network(**physical)
    talker = stage.vm(network, "talker", source)
    with_rarp, report = _reached_after(stage, network, talker, rarp=True)
    without, _ = _reached_after(stage, network, talker, rarp=False)
    measured = {"reached_after_s": with_rarp, "reached_without_rarp_after_s": without}
    unannounced = "not at all" if without is None else f"after {without} s"
    if with_rarp is not None and with_rarp <= REACHED_S:
        words = (
            f"The VM was reached {with_rarp} s after it ran on its new host; without RARP,"
            f" {unannounced}."
        )
        return Finding(fault=False, words=words, measured=measured, report=report)
    late = "was not reached any more" if with_rarp is None else f"was reached after {with_rarp} s"
    words = f"The VM {late} though it announced itself by RARP; without RARP, {unannounced}."
    return Finding(fault=True, words=words, measured=measured, report=report)


def _reached_after(
    stage: Stage, network: Network, talker: Port, *, rarp: bool
) -> tuple[float | None, MigrationReport]:
    """Return how long after it ran again a migrating VM got a frame, and its migration's report.

    None: it got none until the end.
    """
    source, destination = stage.hosts
    vm = stage.vm(network, "with-rarp" if rarp else "without-rarp", source)
    _be_silent(stage, vm)
    request = MigrationRequest(
        destination=destination,
        switches=Switches(rarp=rarp),
        faults=Faults(delays={"pause": COPY_S}),
        timeout_s=ACTIVE_S,
    )
    with (
        stage.running(talker, *frames.talk(talker.mac_address, to=vm.mac_address)),
        stage.running(vm, *frames.listen(talker.mac_address), host=destination) as heard,
    ):
        report = stage.migrate(vm, request, may_fail=["wait for ACTIVE"])
        time.sleep(AFTER_S)
    if not heard:
        raise FakevmError(f"nobody listens in VM {vm.device_id} on {destination}")
    resumed = report.moments.resumed or report.ended
    after = [t - resumed for t in frames.times(heard) if t >= resumed]
    return (round(after[0], 2) if after else None), report


def _be_silent(stage: Stage, vm: Port) -> None:
    """Let a VM say once where it is, and nothing of its own accord any more."""
    off = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"
    say = "arping -c 1 -w 1 -U -I eth0 192.0.2.254 || true"
    stage.in_vm(vm, "sh", "-c", f"{say}; {off}")


SCENARIO = Scenario(
    name="lost-rarp",
    letter="G",
    title="the RARP frames of a migrated VM are lost",
    shows=(
        "In a VLAN the switches learn where a VM is from what it sends. QEMU announces it by RARP"
        " as soon as it runs on its new host; where the L2 agent has not wired the VIF by then, a"
        " VM that sends nothing of its own stays unreachable."
    ),
    reference=(
        "LP #1414559; LP #1815989, LP #1996995 (Nova has QEMU announce it again);"
        " LP #1715317 (os-vif's bridges of the hybrid plug)"
    ),
    expects=f"A frame reaches a silent VM within {REACHED_S} s after it runs on its new host.",
    run=run,
    migrates=True,
    tries=3,
)
