"""Z: an L2 agent starts anew, and its host's VMs lose those of all other hosts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from fakevm.errors import FakevmError
from fakevm.neutron.values import Port
from fakevm.protocol.interrupt import deferred
from fakevm.scenarios.faults import tunnels
from fakevm.scenarios.faults.tunnels import REACHED_S, VMS
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage

# How long Open vSwitch keeps silent to the new agent: some rounds of its loop, a second each.
SILENT_S = 3

# How often that may come too late.
TRIES = 5

# The next ovsdb-client stands still for some seconds; printed is what it has said before, in bytes.
_SILENCE = """
import os, signal, sys, time

def name(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""

old = set(os.listdir("/proc"))
new = ()
while not new:
    new = [pid for pid in os.listdir("/proc") if pid not in old and name(pid) == "ovsdb-client"]
client = int(new[0])
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
try:
    os.kill(client, signal.SIGSTOP)
    with open(f"/proc/{client}/io") as file:
        print(dict(line.split(": ") for line in file.read().splitlines())["wchar"])
    time.sleep(float(sys.argv[1]))
finally:
    os.kill(client, signal.SIGCONT)
"""


def run(stage: Stage) -> Finding:
    """Restart an L2 agent that is told its ports a little late, and ping its VMs from afar."""
    here, there = stage.hosts
    network = stage.network()
    peer = stage.vm(network, "peer", here)
    vms = [stage.vm(network, f"vm-{number}", there) for number in range(1, VMS + 1)]
    stage.settle()
    ways = [(peer, vm.fixed_ips[0].ip_address) for vm in vms]
    if lost := tunnels.lost(stage, ways):
        raise FakevmError(f"{lost} of {VMS} VMs are not even reached before")
    try:
        if not any(_restart_in_silence(stage, there, vms[0]) for _ in range(TRIES)):
            raise FakevmError(f"ovsdb-client was too quick {TRIES} times")
        lost = tunnels.lost(stage, ways)
    finally:
        # All VMs of the host may have lost their tunnels, and not only these.
        with deferred():
            stage.restart_l2_agent(there, vms[0])
    again = tunnels.reached_after(stage, *ways[0]) if lost else None
    return judge(lost, after_another_restart_s=again)


def judge(lost: int, *, after_another_restart_s: float | None) -> Finding:
    """Return what it means how many of the VMs were reached no more from another host."""
    measured: dict[str, object] = {"vms": VMS, "lost": lost}
    if not lost:
        words = f"All {VMS} VMs are reached from another host as before."
        return Finding(fault=False, words=words, measured=measured)
    measured["reached_after_another_restart_s"] = after_another_restart_s
    seconds = after_another_restart_s
    healed = "nor" if seconds is None else f"but the first {seconds} s"
    words = (
        f"{lost} of {VMS} VMs were not reached from another host within {REACHED_S:.0f} s after"
        f" their L2 agent had started anew, {healed} after another restart."
    )
    return Finding(fault=True, words=words, measured=measured)


def _restart_in_silence(stage: Stage, host: str, vm: Port) -> bool:
    """Restart a host's L2 agent; tell whether it was told nothing by its ovsdb-client at first."""
    stage.say(f"the next ovsdb-client of {host} stands still for {SILENT_S} s")
    bound = f"{stage.timeout_s:g}"
    silence = ("timeout", bound, "python3", "-c", _SILENCE, f"{SILENT_S:d}")
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(stage.in_service, host, *silence)
        stage.restart_l2_agent(host, vm)
        return said.result() == "0"


SCENARIO = Scenario(
    name="lost-tunnels",
    letter="Z",
    title="an L2 agent's restart takes the tunnels from its host's VMs",
    shows=(
        "The L2 agent asks Neutron for its tunnels' flows when it binds ports in the very first"
        " round of its loop (ovs_neutron_agent.py, _bind_devices: iter_num == 0), and deletes those"
        " of its former life when it is done. If its ovsdb-client has said nothing yet, it has no"
        " ports in that round, binds them in a later one, and does not ask. It once did, where"
        " tunnels were missing (tunnels_missing); since 28.0.0 it restores the broadcasts' flow"
        " (_restore_local_vlan_map), and none are. Those of unicast, and those that let tunnels in,"
        " are deleted as stale: no VM of the host reaches another host until the next restart. Here"
        " ovsdb-client stands still for some seconds, as on a busy host; it was seen without that."
    ),
    reference=(
        "the change for LP #1978088 (e28bdd8623) undoes that for LP #1853613 (93e9dc5426); no bug"
        " number is known of that"
    ),
    expects="All VMs are reached from other hosts, during and after the restart.",
    run=run,
    not_on={"ovn": "ovn-controller has what it needs of the tunnels from the southbound alone"},
)
