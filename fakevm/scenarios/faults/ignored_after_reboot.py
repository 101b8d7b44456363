"""M: with an INACTIVE binding left, a VM that is rebooted at home is taken for one on its way."""

from __future__ import annotations

import time

from fakevm.errors import WaitTimeoutError
from fakevm.migrate.live import PROFILE
from fakevm.neutron.values import Port
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import ACTIVE_S, Stage


def run(stage: Stage) -> Finding:
    """Reboot a VM the hard way, with its port's INACTIVE binding to another host, and without."""
    source, destination = stage.hosts
    vm = stage.vm(stage.network(), "vm", source)
    stage.say(f"an INACTIVE binding to {destination}, as a live migration that failed leaves it")
    stage.neutron.create_binding(vm.id, destination, vnic_type=vm.vnic_type, profile=PROFILE)
    seconds = _reboot(stage, vm)
    measured: dict[str, object] = {"active_after_s": seconds}
    if seconds is not None:
        words = f"The port was ACTIVE again {seconds} s after the VM was plugged anew."
        return Finding(fault=False, words=words, measured=measured)

    status = stage.neutron.port(vm.id).status
    stage.say("the same without that binding")
    stage.neutron.delete_binding(vm.id, destination)
    again = _reboot(stage, vm)
    measured |= {"status": status, "active_without_binding_after_s": again}
    healed = "stays so" if again is None else f"is ACTIVE within {again} s"
    words = (
        f"The port is {status} {ACTIVE_S:.0f} s after the VM was plugged anew. It {healed} when the"
        " binding is deleted and the VM rebooted once more."
    )
    return Finding(fault=True, words=words, measured=measured)


def _reboot(stage: Stage, vm: Port) -> float | None:
    """Unplug and plug as a hard reboot does; return after how many seconds the port was ACTIVE."""
    stage.say("a hard reboot: unplug and plug")
    stage.lab.unplug(vm.id)
    down = stage.seconds_until(lambda: stage.neutron.port(vm.id).status == "DOWN")
    if down is None:
        raise WaitTimeoutError(f"port {vm.id} is not DOWN though it is unplugged")
    start = time.monotonic()
    try:
        stage.lab.plug(vm.id, timeout_s=min(ACTIVE_S, stage.timeout_s))
    except WaitTimeoutError as error:
        stage.say(str(error))
        return None
    return round(time.monotonic() - start, 1)


SCENARIO = Scenario(
    name="ignored-after-reboot",
    letter="M",
    title="an INACTIVE binding that was left keeps a rebooted VM without network",
    shows=(
        "A live migration that failed left an INACTIVE binding. When the VM is rebooted on its own"
        " host, the L2 agent there takes its port for one that migrates away, and skips it."
    ),
    reference=(
        "Neutron 29.0.0, commit “OVS: Prevent source agent to process ports being migrated”;"
        " no bug number is known"
    ),
    expects="The port is ACTIVE within seconds after the VM was plugged.",
    run=run,
)
