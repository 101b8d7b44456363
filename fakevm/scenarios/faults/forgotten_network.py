"""O: a network whose IPv4 and IPv6 subnets come together is one that the DHCP agent forgets."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from fakevm.inventory import dhcp
from fakevm.scenarios.faults import leases
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage

IPV4 = {"cidr": "192.0.2.0/24", "ip_version": 4}
# RFC 3849.
IPV6 = {
    "cidr": "2001:db8::/64",
    "ip_version": 6,
    "ipv6_ra_mode": "slaac",
    "ipv6_address_mode": "slaac",
}

# How long a DHCP agent may take for a new network: a second or two, if it is not busy.
BEGUN_S = 20.0


def run(stage: Stage) -> Finding:
    """Boot a VM on a network whose IPv6 subnet came while the DHCP agent set up the IPv4 one."""
    host, _ = stage.hosts
    network = stage.network(IPV4)
    begun = stage.seconds_until(lambda: leases.dhcp_ports(stage, network), within_s=BEGUN_S)
    with ExitStack() as halts:
        # As if it had much else to do: a host's name in Neutron is its service's in the lab.
        for port in leases.dhcp_ports(stage, network):
            halts.enter_context(stage.halted(port.host, "neutron-dhcp-agent"))
        stage.say(f"its second subnet, {IPV6['cidr']}")
        stage.neutron.create_subnet({"network_id": network.id, **IPV6})
    vm = stage.vm(stage.neutron.network(network.id), "vm", host, addressing="none")
    # A busy agent needs its time; nobody forgets what he has not begun.
    stage.seconds_until(
        lambda: all(one.has_network for one in dhcp.servers(stage.lab, vm)), within_s=BEGUN_S
    )
    seconds = leases.asked(stage, vm).seconds
    served = dhcp.servers(stage.lab, vm)
    again = None
    if seconds is None:
        stage.say("changing the IPv4 subnet's name, which has nothing to do with it")
        stage.neutron.update_subnet(network.subnets[0].id, {"name": "changed"})
        again = leases.asked(stage, vm).seconds
    finding = judge(served, leased_after_s=seconds, after_an_update_s=again)
    return replace(finding, measured={"ipv6_subnet_after_s": begun, **finding.measured})


def judge(
    served: list[dhcp.DhcpServer],
    *,
    leased_after_s: float | None,
    after_an_update_s: float | None,
) -> Finding:
    """Return what a VM's DHCP client and the DHCP agents say; None: no address came in time."""
    measured: dict[str, object] = {
        "leased_after_s": leased_after_s,
        "dhcp_agents": dhcp.words(served),
    }
    if leased_after_s is not None:
        words = f"The VM had its address by DHCP after {leased_after_s} s."
        return Finding(fault=False, words=words, measured=measured)
    measured["leased_after_another_update_s"] = after_an_update_s
    healed = "none even" if after_an_update_s is None else f"one {after_an_update_s} s"
    words = (
        f"The VM got no address by DHCP within {leases.WITHIN_S:.0f} s: {dhcp.words(served)}. It"
        f" had {healed} after the IPv4 subnet's name was changed."
    )
    return Finding(fault=True, words=words, measured=measured)


SCENARIO = Scenario(
    name="forgotten-network",
    letter="O",
    title="a network whose IPv4 and IPv6 subnets come together has no DHCP",
    shows=(
        "Whoever makes a network with an IPv4 and an IPv6 subnet makes them within a second. The"
        " DHCP agent sets its device up for the IPv4 subnet, fetches the network again, now with"
        " both, and waits for the IPv6 metadata address that it has not added: AddressNotReady, in"
        " a thread whose result nobody reads, before the network is remembered"
        " (neutron/agent/dhcp/agent.py, configure_dhcp_for_network, _process_resource_update)."
        " From then on no VM gets an address there, until a subnet is changed or the agent"
        " restarted, and nothing is logged. Left alone, this is a race; here the agent stands still"
        " while the second subnet is made, as if it was busy."
    ),
    reference=(
        "Neutron 28.0.0, the fix of LP #2126570, which fetches the network again; no bug number is"
        " known of this"
    ),
    expects="A VM gets its address by DHCP within seconds.",
    run=run,
    not_on={"ovn": "ovn-controller answers DHCP itself; there is no DHCP agent that could forget"},
    tries=3,
)
