"""Y: an L2 agent starts anew, and connections of its host's VMs are cut."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial

from fakevm.errors import FakevmError
from fakevm.neutron.values import Port
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage

# The agent's first one keeps its connections.
VMS = 5

# Between two packets of a connection: an agent takes some hundredths of a second for a port.
INTERVAL_S = 0.01

# A connection without an answer for that long is cut.
CUT_S = 1.0

# How long the first answer may take.
ANSWERED_S = 5.0


def run(stage: Stage) -> Finding:
    """Restart an L2 agent while VMs of one security group are pinged, and see who still answers."""
    here, there = stage.hosts
    group = str(stage.make("security_group")["id"])
    rule = {"direction": "ingress", "remote_group_id": group, "security_group_id": group}
    stage.neutron.write("POST", "/security-group-rules", {"security_group_rule": rule})
    network = stage.network()
    peer = stage.vm(network, "peer", here, group=group)
    vms = [stage.vm(network, f"vm-{number}", there, group=group) for number in range(1, VMS + 1)]
    stage.settle()
    with ExitStack() as connections:
        answers = {vm.id: connections.enter_context(stage.running(peer, *_ping(vm))) for vm in vms}
        for vm in vms:
            if stage.seconds_until(partial(_talks, answers[vm.id]), within_s=ANSWERED_S) is None:
                raise FakevmError(f"VM {vm.device_id} does not answer even before the restart")
        stage.restart_l2_agent(there, vms[0])
        before = {vm.id: len(answers[vm.id]) for vm in vms}
        time.sleep(CUT_S)
        cut = [vm for vm in vms if len(answers[vm.id]) == before[vm.id]]
        new = sum(_answered(stage, peer, vm) for vm in cut)
    return judge(cut=len(cut), new=new)


def judge(*, cut: int, new: int) -> Finding:
    """Return what it means how many connections were cut, to how many VMs a new one was made."""
    measured: dict[str, object] = {"connections": VMS, "cut": cut}
    if not cut:
        words = f"All {VMS} connections went on after the L2 agent had started anew."
        return Finding(fault=False, words=words, measured=measured)
    measured["new_ones_answered"] = new
    words = (
        f"{cut} of {VMS} connections were cut when the L2 agent started anew, and stayed so; of"
        f" the {cut} VMs {new} answered a new one."
    )
    return Finding(fault=True, words=words, measured=measured)


def _ping(vm: Port) -> tuple[str, ...]:
    """Return a command that pings a VM on and on: to conntrack, one connection."""
    return ("ping", "-n", "-i", f"{INTERVAL_S}", vm.fixed_ips[0].ip_address)


def _talks(lines: list[str]) -> bool:
    # The first line is ping's own.
    return len(lines) > 1


def _answered(stage: Stage, peer: Port, vm: Port) -> bool:
    address = vm.fixed_ips[0].ip_address
    return stage.answered_after(peer, address, within_s=ANSWERED_S) is not None


SCENARIO = Scenario(
    name="marked-connections",
    letter="Y",
    title="an L2 agent's restart cuts connections of VMs of one security group",
    shows=(
        "For a rule that lets a group's members in, the openvswitch firewall has flows of two"
        " kinds that belong together by a number, conjunctive ones: one for a member's address,"
        " shared by all VMs of a network, and one for each VM. An agent that starts anew takes new"
        " numbers (openvswitch_firewall/firewall.py, ConjIdMap._init_max_id): its first VM's flows"
        " overwrite the shared ones, and the others' packets match nothing until their turn. A"
        " packet of an established connection is not only dropped then: it marks its connection as"
        " invalid (ct_mark=1), and that is dropped from then on. `conntrack -D` is to take such"
        " marks away, since 29.0.0 after all flows are there; the userspace datapath's connections"
        " it does not know."
    ),
    reference="LP #1934917, of which the commit for it (0634dcc6d0) mended another half",
    expects="Connections go on while the L2 agent starts anew.",
    run=run,
    not_on={"ovn": "no agent of Neutron's has a firewall there"},
)
