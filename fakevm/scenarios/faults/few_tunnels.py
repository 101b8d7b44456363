"""BB: VMs come back to a host after its L2 agent, and reach some of the other hosts only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from fakevm.errors import FakevmError, WaitTimeoutError
from fakevm.neutron.values import Network, Port
from fakevm.protocol.interrupt import deferred
from fakevm.scenarios.faults import leases, tunnels
from fakevm.scenarios.faults.tunnels import REACHED_S, VMS
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import CIDRS, Stage

# An L2 agent that has a network's VLAN has its flow for what comes by tunnels.
_UNTIL_PROVISIONED = 'until ovs-ofctl dump-flows br-tun | grep -q "tun_id=$0 "; do sleep 0.01; done'


def run(stage: Stage) -> Finding:
    """Let a host's VMs come late, and another host announce itself just then."""
    here, there = stage.hosts
    # With one an L2 agent has more to do before it binds a port.
    group = stage.make("security_group")["id"]
    network = stage.network({"cidr": CIDRS[0], "ip_version": 4, "enable_dhcp": True})
    peer = stage.vm(network, "peer", here)
    vms = [stage.vm(network, f"vm-{n}", there, group=group) for n in range(1, VMS + 1)]
    dhcp = _dhcp_address(stage, network)
    stage.settle()
    ways = [(vm, dhcp) for vm in vms]
    if lost := tunnels.lost(stage, ways):
        raise FakevmError(f"{lost} of {VMS} VMs do not even reach the DHCP agent before")
    try:
        _lose_power(stage, there, vms)
        _come_back(stage, network, there, peer, vms)
        lost = tunnels.lost(stage, ways)
        peer_lost = tunnels.lost(stage, [(vm, peer.fixed_ips[0].ip_address) for vm in vms])
    finally:
        # All VMs of the host may lack tunnels, and not only these.
        with deferred():
            stage.restart_l2_agent(there, vms[0])
    again = tunnels.reached_after(stage, *ways[0]) if lost else None
    return judge(lost, peer_lost=peer_lost, after_restart_s=again)


def judge(lost: int, *, peer_lost: int, after_restart_s: float | None) -> Finding:
    """Return what it means how many VMs reach the DHCP agent, and who announced itself, no more."""
    measured: dict[str, object] = {"vms": VMS, "dhcp_lost": lost, "peer_lost": peer_lost}
    if not lost:
        words = f"All {VMS} VMs reach the DHCP agent as before."
        return Finding(fault=False, words=words, measured=measured)
    measured["reached_after_restart_s"] = after_restart_s
    healed = (
        "a restart of their L2 agent does not mend it"
        if after_restart_s is None
        else f"{after_restart_s} s after a restart of their L2 agent the first did"
    )
    words = (
        f"{lost} of {VMS} VMs did not reach the DHCP agent within {REACHED_S:.0f} s, {peer_lost}"
        f" not the host that had announced itself meanwhile; {healed}."
    )
    return Finding(fault=True, words=words, measured=measured)


def _lose_power(stage: Stage, host: str, vms: list[Port]) -> None:
    """Let a host have its L2 agent back, but no VM yet; Neutron hears nothing of it."""
    outages = stage.lab.outages
    agent = f"l2-agent@{host}"
    stage.say(f"{host} loses its VMs while its L2 agent is away")
    try:
        outages.stop(agent)
        for vm in vms:
            stage.lab.agent(host).unplug(vm.id)
    finally:
        with deferred():
            outages.start(agent)
    stage.settle()


def _come_back(stage: Stage, network: Network, host: str, peer: Port, vms: list[Port]) -> None:
    """Boot the VMs; before the first is wired another host announces itself to all."""

    def boot(vm: Port) -> None:
        stage.lab.plug(vm.id, host=host, addressing="static", timeout_s=stage.timeout_s)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(boot, vms[0])
        bound = f"{stage.timeout_s:g}"
        told = stage.neutron.answer(f"/networks/{network.id}")["network"]
        key = f"{told['provider:segmentation_id']:#x}"
        stage.in_service(host, "timeout", bound, "sh", "-c", _UNTIL_PROVISIONED, key)
        with stage.halted(host):
            _announce(stage, peer)
        first.result()
    for vm in vms[1:]:
        boot(vm)
    stage.settle()


def _announce(stage: Stage, peer: Port) -> None:
    """Have Neutron tell all L2 agents of the tunnel to a host, by the only port that it has."""
    stage.say("its admin_state_up false, and when it is DOWN true")
    stage.neutron.update_port(peer.id, {"admin_state_up": False})
    if stage.seconds_until(lambda: stage.neutron.port(peer.id).status == "DOWN") is None:
        raise WaitTimeoutError(f"port {peer.id} does not become DOWN")
    stage.neutron.update_port(peer.id, {"admin_state_up": True})
    if stage.active_after(peer) is None:
        raise WaitTimeoutError(f"port {peer.id} does not become ACTIVE again")


def _dhcp_address(stage: Stage, network: Network) -> str:
    def active() -> list[Port]:
        return [port for port in leases.dhcp_ports(stage, network) if port.status == "ACTIVE"]

    if stage.seconds_until(active) is None:
        raise WaitTimeoutError(f"network {network.name} has no port of a DHCP agent that is ACTIVE")
    return active()[0].fixed_ips[0].ip_address


SCENARIO = Scenario(
    name="few-tunnels",
    letter="BB",
    title="VMs that come back late reach some of the other hosts only",
    shows=(
        "After a power cut an L2 agent starts before the VMs of its host, whose ports are ACTIVE"
        " still. It asks Neutron for its tunnels when it binds the first of them, if it knows none"
        " (ovs_neutron_agent.py, _bind_devices: tunnels_missing, len(lvm.tun_ofports) == 0)."
        " Where just then another host announces itself, as after a power cut all do, it knows"
        " that one, does not ask, and Neutron tells it all only with a host's first two ports in a"
        " network (l2pop/mech_driver.py, update_port_up). So broadcasts of its VMs go to that host"
        " alone, for DHCP and ARP for ever, until the agent starts anew. Here the L2 agent stands"
        " still before it binds the first port, and one port of another host goes down and up; it"
        " was seen without that when all containers of a lab started at once."
    ),
    reference=(
        "what the change for LP #1853613 (93e9dc5426) leaves; no bug number is known of that"
    ),
    expects="Each VM reaches the VMs and the DHCP agent of all other hosts.",
    run=run,
    not_on={"ovn": "ovn-controller has what it needs of the tunnels from the southbound alone"},
)
