"""ML2/OVN: ovn-controller in every host, told by OVN's southbound database."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from fakevm import backends
from fakevm.backends import southbound
from fakevm.backends.backend import Backend, Handed, HostState, Option, Program, Trail
from fakevm.neutron.values import NeutronAgent

if TYPE_CHECKING:
    from fakevm.backends.pipeline import Logical, Pipeline

# The service that has OVN's databases and northd.
CENTRAL = "ovn-central"

METADATA = Option(
    name="metadata",
    variable="FAKEVM_METADATA",
    service="compute-1",
    environment="FAKEVM_METADATA",
    values=("true", "false"),
)


class Ovn(Backend):
    """The mechanism driver ovn."""

    name = "ovn"
    title = "ML2/OVN"
    document = "compose/ovn.yml"
    start_order = (
        *("nova-events", "mariadb", "keystone", CENTRAL),
        *("neutron-api", "neutron-ovn-maintenance", "neutron-periodic", "network"),
    )
    passwords = (
        Handed(
            variable="FAKEVM_DATABASE_PASSWORD", service="mariadb", environment="DATABASE_PASSWORD"
        ),
        Handed(
            variable="FAKEVM_METADATA_SECRET",
            service="compute-1",
            environment="OS_DEFAULT__METADATA_PROXY_SHARED_SECRET",
        ),
    )
    options = (METADATA,)
    l2_agent_binaries = ("ovn-controller",)
    # ovn-controller(8): all OpenFlow rules of the interface are there.
    wired = ("Interface", "external_ids:ovn-installed=true")
    # Of README's 1.6 GB with three hosts; without metadata agents it is 0.9 GB.
    lab_mb = 700
    host_mb = 300
    dhcp_agents = False
    programs = MappingProxyType(
        {
            "nbctl": Program(name="ovn-nbctl", service=CENTRAL),
            "sbctl": Program(name="ovn-sbctl", service=CENTRAL),
            "trace": Program(name="ovn-trace", service=CENTRAL),
            "appctl": Program(name="ovn-appctl", service=CENTRAL),
        }
    )
    question = (
        CENTRAL,
        (
            *("ovn-sbctl", "--timeout=5", "--format=json"),
            *("--", "--columns=nb_cfg", "list", "SB_Global"),
            *("--", "--columns=name,nb_cfg", "list", "Chassis_Private"),
        ),
    )

    # What is written to the northbound database arrives in the southbound one (ovn-nbctl(8)).
    check = (CENTRAL, ("ovn-nbctl", "--timeout=5", "--wait=sb", "sync"))
    trail = Trail(service=CENTRAL, argv=southbound.COMMAND, reader=southbound.PortBindings)
    supervised = (CENTRAL,)
    inspected = (
        (CENTRAL, ("ovn-nbctl", "show")),
        (CENTRAL, ("ovn-sbctl", "show")),
        (CENTRAL, ("ovn-sbctl", "list", "Port_Binding")),
        (CENTRAL, ("ovn-sbctl", "lflow-list")),
    )
    versions = (*Backend.versions, ("ovn-controller", "--version"))

    @property
    def pipeline(self) -> Pipeline:
        """What its hosts' flows mean."""
        return backends.ovn_pipeline.PIPELINE

    @property
    def logical(self) -> Logical:
        """Who tells of a packet's way without the hosts."""
        return backends.ovn_pipeline.OVN_TRACE

    def described(self, network_types: Collection[str], options: Mapping[str, str]) -> str:
        """Return what wires a VM's ports, as in "ML2/OVN, geneve"."""
        return ", ".join([self.title, *sorted(network_types)])

    def host_state(
        self, host: str, agents: Iterable[NeutronAgent], answer: str, other: str = ""
    ) -> HostState:
        """Return what Neutron's list of agents and the southbound database say of a host."""
        there = {agent.binary: agent for agent in agents if agent.host == host}
        controller = there.get("ovn-controller")
        metadata = there.get("neutron-ovn-metadata-agent")
        northd, chassis = configurations(answer)
        seen = chassis.get(host)
        return HostState(
            l2_agent=controller.state if controller else "",
            details={
                "chassis": "" if northd is None else "missing" if seen is None else host,
                "nb_cfg": "" if northd is None or seen is None else behind(northd, seen),
                "metadata_agent": metadata.state if metadata else "",
                "gateway": "yes" if controller and controller.is_gateway else "",
            },
        )


def configurations(answer: str) -> tuple[int | None, dict[str, int]]:
    """Return the configuration that northd has written, and by chassis the one that it has seen.

    ovn-sb(5), `nb_cfg`; of the answer to the backend's question, where there is one.
    """
    tables = [json.loads(line)["data"] for line in answer.splitlines() if line.startswith("{")]
    if not tables:
        return None, {}
    ((northd,),), chassis = tables
    return northd, dict(chassis)


def behind(northd: int, chassis: int) -> str:
    """Return the configuration that a chassis has, and by how many it is behind."""
    return f"{chassis}, {northd - chassis} behind" if chassis < northd else str(chassis)


OVN = Ovn()
