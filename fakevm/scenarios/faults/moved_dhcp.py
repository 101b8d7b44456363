"""X: a DHCP agent's port gets another address, and the agent goes on with the former one."""

from __future__ import annotations

from fakevm.errors import FakevmError
from fakevm.neutron.values import Network, Port
from fakevm.scenarios.faults import leases
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage

SUBNET = {
    "cidr": "192.0.2.0/24",
    "ip_version": 4,
    "allocation_pools": [{"start": "192.0.2.2", "end": "192.0.2.99"}],
}
# Nobody is given it by chance.
ADDRESS = "192.0.2.100"

# How long an agent may take: a second or two.
MOVED_S = 6.0


def run(stage: Stage) -> Finding:
    """Give another address to a DHCP agent's port, and ask by DHCP who answers."""
    host, _ = stage.hosts
    network = stage.network(SUBNET)
    vm = stage.vm(network, "vm", host, addressing="none")
    former = leases.asked(stage, vm).server
    port = _port(stage, network, former)
    stage.say(f"the DHCP agent's port: {ADDRESS} instead of {former}")
    stage.neutron.update_port(port.id, {"fixed_ips": [{"ip_address": ADDRESS}]})
    seconds = stage.answered_after(vm, ADDRESS, within_s=MOVED_S)
    server = leases.asked(stage, vm).server
    again = None
    if server != ADDRESS:
        stage.say("another subnet with DHCP, which has nothing to do with it")
        more = {"network_id": network.id, "cidr": "198.51.100.0/24", "ip_version": 4}
        stage.neutron.create_subnet(more)
        again = stage.answered_after(vm, ADDRESS, within_s=MOVED_S)
    return judge(server, former=former, moved_after_s=seconds, after_another_subnet_s=again)


def judge(
    server: str,
    *,
    former: str,
    moved_after_s: float | None,
    after_another_subnet_s: float | None,
) -> Finding:
    """Return what a DHCP client and a ping say; None: the new address did not answer in time."""
    measured: dict[str, object] = {"moved_after_s": moved_after_s, "leased_from": server or None}
    if server == ADDRESS:
        words = f"DHCP is answered from {ADDRESS}, which answered after {moved_after_s} s."
        return Finding(fault=False, words=words, measured=measured)
    measured["moved_after_another_subnet_s"] = after_another_subnet_s
    healed = "nor" if after_another_subnet_s is None else f"but {after_another_subnet_s} s"
    words = (
        f"DHCP is answered from {server or 'nowhere'}, though the port has {ADDRESS} instead of"
        f" {former}: that did not answer within {MOVED_S:.0f} s, {healed} after another subnet was"
        " made."
    )
    return Finding(fault=True, words=words, measured=measured)


def _port(stage: Stage, network: Network, address: str) -> Port:
    """Return the port of a DHCP agent that has an address."""
    for port in leases.dhcp_ports(stage, network):
        if address in [ip.ip_address for ip in port.fixed_ips]:
            return port
    raise FakevmError(f"the lease came from {address or 'nobody'}, and no DHCP agent has that")


SCENARIO = Scenario(
    name="moved-dhcp",
    letter="X",
    title="a DHCP agent's port gets another address, and the agent does not",
    shows=(
        "An administrator gives a network's DHCP port another address. The agent leaves out updates"
        " of ports that need no entry of dnsmasq's, its own among them (neutron/agent/dhcp/"
        "agent.py, DHCPAgent.port_update_end), before it would see that it is its own"
        " (reload_allocations): it answers from the former address, which Neutron may give to"
        " somebody else, and VMs have it as their name server and as their way to the metadata."
    ),
    reference=(
        'commit “Don\'t configure dnsmasq entries for "network" ports” (LP #1913269); LP #1942794'
        " is the same of ML2/OVN's metadata port, and mended"
    ),
    expects="DHCP is answered from the port's address within seconds.",
    run=run,
    not_on={"ovn": "ovn-controller answers DHCP itself; no DHCP agent has a port there"},
)
