"""ML2/OVS: neutron-openvswitch-agent in every host, asked and told over RabbitMQ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from fakevm import backends
from fakevm.backends.backend import Backend, Handed, HostState, Option
from fakevm.neutron.values import NeutronAgent

if TYPE_CHECKING:
    from fakevm.backends.pipeline import Pipeline

L2POPULATION = Option(
    name="l2population",
    variable="FAKEVM_L2_POPULATION",
    service="network-1",
    environment="OS_AGENT__L2_POPULATION",
    values=("true", "false"),
)

FIREWALL = Option(
    name="firewall",
    variable="FAKEVM_FIREWALL",
    service="network-1",
    environment="OS_SECURITYGROUP__FIREWALL_DRIVER",
    values=("openvswitch", "iptables_hybrid", "noop"),
)

# Another program than neutron-openvswitch-agent in the compute hosts, with its arguments.
L2_AGENT = Option(
    name="l2-agent",
    variable="FAKEVM_L2_AGENT",
    service="neutron-api",
    environment="FAKEVM_L2_AGENT",
    values=(),
)


class Ovs(Backend):
    """The mechanism drivers openvswitch and l2population."""

    name = "ovs"
    title = "ML2/OVS"
    document = "docker-compose.yml"
    start_order = (
        *("nova-events", "mariadb", "keystone", "rabbitmq"),
        *("neutron-api", "neutron-rpc", "neutron-periodic", "network"),
    )
    passwords = (
        Handed(
            variable="FAKEVM_DATABASE_PASSWORD", service="mariadb", environment="DATABASE_PASSWORD"
        ),
        Handed(
            variable="FAKEVM_RABBITMQ_PASSWORD", service="rabbitmq", environment="RABBITMQ_PASSWORD"
        ),
        Handed(
            variable="FAKEVM_METADATA_SECRET",
            service="network-1",
            environment="OS_DEFAULT__METADATA_PROXY_SHARED_SECRET",
        ),
    )
    options = (L2POPULATION, FIREWALL, L2_AGENT)
    l2_agent_option = L2_AGENT
    l2_agent_binaries = ("neutron-openvswitch-agent",)
    # The local VLAN that the L2 agent gives to the port.
    wired = ("Port", "tag!=[]")
    # Of README's 2.1 GB with three hosts; a host's processes had 0.3 GB each.
    lab_mb = 1200
    host_mb = 300
    dhcp_agents = True
    # The L2 agent deletes the OVS port in its next loop, which takes long on a busy machine
    # (OVSNeutronAgent.process_deactivated_bindings).
    cuts_off_within_s = 10.0

    @property
    def pipeline(self) -> Pipeline:
        """What its hosts' flows mean."""
        return backends.ovs_pipeline.PIPELINE

    def described(self, network_types: Collection[str], options: Mapping[str, str]) -> str:
        """Return what wires a VM's ports, as in "ML2/OVS, vxlan, l2population"."""
        l2population = options[L2POPULATION.name] == "true"
        found = [self.title, *sorted(network_types), *([L2POPULATION.name] if l2population else [])]
        # Another agent's program says more.
        return ", ".join([*found, *filter(None, [self.other_l2_agent(options)])])

    def filters(self, options: Mapping[str, str]) -> bool:
        """Tell whether security groups are applied: the firewall driver noop does not."""
        return options[FIREWALL.name] != "noop"

    def has_stateless(self, options: Mapping[str, str]) -> bool:
        """Tell whether a group can be stateless: the driver openvswitch takes all for stateful.

        It reads nothing of it (neutron/agent/linux/openvswitch_firewall); iptables does.
        """
        return options[FIREWALL.name] == "iptables_hybrid"

    def host_state(
        self, host: str, agents: Iterable[NeutronAgent], answer: str, other: str = ""
    ) -> HostState:
        """Return what Neutron's list of agents says of a host."""
        for agent in self.l2_agents(host, agents, other):
            return HostState(l2_agent=agent.state, datapath=agent.datapath)
        return HostState()


OVS = Ovs()
