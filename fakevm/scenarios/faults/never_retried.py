"""S: a VIF that the L2 agent looked at too early is never looked at again."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

from fakevm.errors import FakevmError, WaitTimeoutError
from fakevm.neutron.values import Network, Port
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import ACTIVE_S, Stage
from fakevm.vms.requests import Plugging

# How long the rest of what ovsdb-server has to tell the L2 agent is on its way: some rounds of its
# loop, which look once a second whether there is something to do.
BEHIND_S = 5.0

# More than the L2 agent's socket holds (net.core.wmem_default, 208 KiB on Linux): what comes after
# it stays in ovsdb-server, which has the rest until the L2 agent reads. $1 KiB, in pieces of 20.
_MUCH = """
value=$(head -c 20480 /dev/zero | tr '\\0' x)
for number in $(seq $(($1 / 20))); do
    ovs-vsctl --no-wait set Open_vSwitch . "external_ids:fakevm-scenario=$value$number" || exit
done
ovs-vsctl --no-wait remove Open_vSwitch . external_ids fakevm-scenario
"""
_MUCH_KIB = 800


def run(stage: Stage) -> Finding:
    """Boot a VM while the L2 agent's copy of OVSDB is behind what its monitor says."""
    host, _ = stage.hosts
    network = stage.network()
    with ThreadPoolExecutor(1) as pool, ExitStack() as l2_agent:
        l2_agent.enter_context(stage.halted(host))
        with stage.halted(host, "ovs-vswitchd"):
            booting = pool.submit(_boot, stage, network, host)
            vm = _plugged(stage, network, host)
            stage.say("many changes of the host's OVSDB")
            stage.in_service(host, "sh", "-c", _MUCH, "-", str(_MUCH_KIB))
        agent = stage.lab.agent(host)
        stage.seconds_until(lambda: any(vif.ofport for vif in agent.vifs(vm.id)))
        with stage.halted(host, "ovsdb-server"):
            l2_agent.close()
            time.sleep(BEHIND_S)
        finding = _outcome(stage, vm)
        booting.result()
    return finding


def _boot(stage: Stage, network: Network, host: str) -> None:
    """Boot a VM, which takes until its port is ACTIVE."""
    with suppress(WaitTimeoutError):
        stage.vm(network, "vm", host, plugging=Plugging(vif_plugging_timeout_s=0))


def _plugged(stage: Stage, network: Network, host: str) -> Port:
    """Wait until a network's VM has its OVS port; return its port."""
    found: list[Port] = []
    # Not of fakevm's agent: it waits for ovs-vswitchd, too.
    find = ("ovs-vsctl", "--no-wait", "--bare", "--columns=name", "find", "Interface")

    def seen() -> bool:
        for port in stage.neutron.ports(network_id=network.id):
            if stage.in_service(host, *find, f"external_ids:iface-id={port.id}"):
                found.append(port)
        return bool(found)

    if stage.seconds_until(seen) is None:
        raise FakevmError(f"{host}: the VM has no OVS port after {stage.timeout_s:g} s")
    return found[0]


def _outcome(stage: Stage, vm: Port) -> Finding:
    active = stage.active_after(vm)
    if active is not None:
        return judge(active_after_s=active)
    stage.say("changing the port's name, which has nothing to do with it")
    stage.neutron.update_port(vm.id, {"name": f"{vm.name}-changed"})
    return judge(active_after_s=None, after_an_update_s=stage.active_after(vm))


def judge(*, active_after_s: float | None, after_an_update_s: float | None = None) -> Finding:
    """Return what became of the port once OVSDB had all been read; None: not ACTIVE in time."""
    measured: dict[str, object] = {"active_after_s": active_after_s}
    if active_after_s is not None:
        words = f"The port was ACTIVE {active_after_s} s after the L2 agent had read all of OVSDB."
        return Finding(fault=False, words=words, measured=measured)
    measured["active_after_another_update_s"] = after_an_update_s
    healed = "not even" if after_an_update_s is None else f"{after_an_update_s} s"
    words = (
        f"The port was not ACTIVE {ACTIVE_S:.0f} s after the L2 agent had read all of OVSDB; it was"
        f" {healed} after the port's name was changed."
    )
    return Finding(fault=True, words=words, measured=measured)


SCENARIO = Scenario(
    name="never-retried",
    letter="S",
    title="a VIF that the L2 agent looks at too early is never wired",
    shows=(
        "An L2 agent hears of a new OVS port from `ovsdb-client monitor`, and looks for its ofport"
        " in a copy of OVSDB that another connection keeps. On a busy host the copy is behind: “has"
        " no valid ofport”, and the promise that “the port will be retried on the next iteration”"
        " (ovs_neutron_agent.py, treat_vif_port). It is not: the device has not failed, it counts"
        " among the current ones from then on, and when its ofport comes it is an interface that"
        " was modified, by name, which is looked for among the ids of ports (process_ports_events)."
        " The port stays DOWN, and Nova's boot of the VM fails after vif_plugging_timeout. By"
        " itself it comes once in some thousand boots; here ovsdb-server stands still between what"
        " the monitor and what the copy is told."
    ),
    reference=(
        "commit “ovs: skip OF operations for ports with invalid ofport” (LP #2155883), which"
        " promises it; no bug number is known of this"
    ),
    expects="The port is ACTIVE within seconds after the L2 agent has heard of its ofport.",
    run=run,
    not_on={"ovn": "ovn-controller has one copy of OVSDB; there is no L2 agent with two"},
)
