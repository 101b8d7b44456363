"""U: a network's VLAN changes, and its VMs stay in the former one."""

from __future__ import annotations

import re
from collections.abc import Collection

from fakevm.errors import ConflictError, FakevmError
from fakevm.neutron.values import Network, Port
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage

VLAN = "provider:segmentation_id"
_PHYSICAL = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}

# How long the VMs may take to be in their new VLAN after another update.
HEALED_S = 8.0

VMS = 2

_IN_USE = 409


def run(stage: Stage) -> Finding:
    """Change a network's VLAN under two VMs, and see in which one they reach each other."""
    source, destination = stage.hosts
    ours, free = stage.network(**_PHYSICAL), stage.network(**_PHYSICAL)
    former, new = _vlan(stage, ours), _vlan(stage, free)
    # It was made to know a VLAN that nobody has.
    stage.neutron.delete_network(free.id)
    vms = stage.vm(ours, "here", source), stage.vm(ours, "there", destination)
    stage.settle()
    if _carried(stage, *vms) != {former}:
        raise FakevmError(f"the VMs do not reach each other in their network's VLAN, {former}")
    stage.say(f"VLAN {new} instead of {former}")
    cursor = stage.lab.events.cursor()
    body = {"network": {VLAN: new}}
    answer = stage.ask(lambda neutron: neutron.write("PUT", f"/networks/{ours.id}", body))
    if answer.status == _IN_USE:
        raise ConflictError(f"somebody else has taken VLAN {new} meanwhile")
    if not answer.accepted:
        words = f"Neutron answered {answer}: with VMs on it, a network keeps its VLAN."
        return Finding(fault=True, words=words, measured={"put_segmentation_id": answer.status})
    # What is right at first may be made wrong in the next round.
    stage.settle()
    carried = _carried(stage, *vms)
    again = None
    if carried != {new}:
        stage.say("changing a port's name, which has nothing to do with it")
        stage.neutron.update_port(vms[0].id, {"name": f"{vms[0].name}-changed"})
        again = stage.seconds_until(lambda: _carried(stage, *vms) == {new}, within_s=HEALED_S)
    events = stage.lab.events.kept(cursor, instance_ids=[vm.device_id for vm in vms])
    unplugged = sum(one.name == "network-vif-unplugged" for one in events)
    return judge(carried, former=former, new=new, unplugged=unplugged, after_an_update_s=again)


def judge(
    carried: Collection[int],
    *,
    former: int,
    new: int,
    unplugged: int,
    after_an_update_s: float | None,
) -> Finding:
    """Return what it means in which VLANs the VMs' packets are, in none where they do not arrive.

    And how often Nova was told that a VIF is unplugged: once of each it may be.
    """
    measured: dict[str, object] = {
        "vlan": new,
        "former_vlan": former,
        "carried_in": sorted(carried),
        "vif_unplugged": unplugged,
    }
    faults = []
    if carried != {new}:
        measured["changed_after_another_update_s"] = after_an_update_s
        still = " and ".join(map(str, sorted(carried))) or "no VLAN"
        healed = "nor" if after_an_update_s is None else f"but {after_an_update_s} s"
        faults.append(
            f"its VMs' packets are in {still}: not in the new one by themselves, {healed} after a"
            " port's name was changed"
        )
    if unplugged > VMS:
        faults.append(
            f"Nova was told {unplugged} times that a VIF was unplugged, and that it was plugged"
        )
    words = f"The network has VLAN {new} instead of {former}, and "
    words += "; ".join(faults) or "its VMs reach each other there"
    return Finding(fault=bool(faults), words=f"{words}.", measured=measured)


def _vlan(stage: Stage, network: Network) -> int:
    return int(stage.neutron.answer(f"/networks/{network.id}")["network"][VLAN])


def _carried(stage: Stage, one: Port, other: Port) -> set[int]:
    """Return in which VLANs two VMs' packets to each other are on their way between hosts."""
    ways = [stage.lab.trace(a.id, b.id) for a, b in ((one, other), (other, one))]
    told = " ".join(hop.what for way in ways if way.arrives for hop in way.hops)
    return set(map(int, re.findall(r"(?<!local )\bVLAN (\d+)", told)))


SCENARIO = Scenario(
    name="former-vlan",
    letter="U",
    title="a network's VLAN changes, and its VMs stay in the former one",
    shows=(
        "Neutron lets the segmentation_id of a VLAN network change under its VMs. The L2 agent"
        " changes its local VLAN (ovs_neutron_agent.py, _update_network_segmentation_id), and then"
        " gives the network's ports a second one with the former id: it reads that from the binding"
        " levels of the ports in its cache (agent/rpc.py, get_device_details), which a change of a"
        " segment does not renew. The VMs stay where whoever is given that VLAN next is, too, until"
        " one of their ports is updated; then the agent has them in both, and binds them anew in"
        " each round (“has lost its vlan tag”), DOWN and ACTIVE in turn. ML2/OVN refuses the change"
        " on the userspace datapath: it allows it for vhostuser alone there (mech_driver.py,"
        " get_supported_vif_types), and binds as ovs what has no socket (bind_port)."
    ),
    reference=(
        "commit “ovs: handle segmentation ids per network ports” (2022, part of LP #1956435);"
        " commit “[OVN] Fix updating network segmentation ID” (LP #1944708); no bug number is known"
        " of what is left"
    ),
    expects="The VMs reach each other in their network's new VLAN.",
    run=run,
    tries=3,
)
