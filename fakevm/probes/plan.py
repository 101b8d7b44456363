"""Which packets are sent between a VM and who probes it, and what each end is told to do."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fakevm.clients.agents import Agent
from fakevm.errors import ConfigError
from fakevm.probes.flows import End, Flow

# UDP ports are this one and those after it, one a flow: below those that a kernel gives out.
FIRST_PORT = 24600

# In this order.
_KINDS: tuple[tuple[Literal["udp", "icmp"], Literal["to-vm", "from-vm"]], ...] = (
    ("udp", "to-vm"),
    ("udp", "from-vm"),
    ("icmp", "to-vm"),
    ("icmp", "from-vm"),
)


@dataclass(frozen=True, kw_only=True)
class Nic:
    """A port of a VM, or of a DHCP agent, as a prober needs to know it."""

    port_id: str
    network_id: str
    # With their prefix lengths, as the NIC has them, or without.
    addresses: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Prober:
    """A VM that probes; without an agent it is something that only answers to pings."""

    name: str
    nic: Nic
    agent: Agent | None = None


def plan(
    nics: Sequence[Nic], probers: Sequence[Prober], *, first_port: int = FIRST_PORT
) -> tuple[Flow, ...]:
    """Return the flows between a VM and its probers, to each of its addresses, IPv4 first.

    Where the VM has a NIC in the prober's network, no other one is probed. An IP version that only
    one of the two has is left out; raises ConfigError if that leaves nothing. Probes of several VMs
    by the same prober need ports of their own.
    """
    names = [prober.name for prober in probers if prober.agent is not None]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{', '.join(twice)} is to probe more than once")
    flows: list[Flow] = []
    for prober in probers:
        near = [nic for nic in nics if nic.network_id == prober.nic.network_id] or nics
        pairs = [pair for nic in near for pair in _pairs(nic.addresses, prober.nic.addresses)]
        if not pairs:
            raise ConfigError(f"{prober.name} and the VM have no addresses of the same IP version")
        for address, peer_address in sorted(pairs, key=lambda pair: ":" in pair[0]):
            for kind, direction in _KINDS:
                if prober.agent is None and (kind, direction) != ("icmp", "from-vm"):
                    continue
                flow = Flow(
                    # Short: it is in each packet.
                    id=f"{len(flows) + 1} {kind} {direction} {address}",
                    kind=kind,
                    direction=direction,
                    peer=prober.name,
                    address=address,
                    peer_address=peer_address,
                    port=first_port + len(flows) if kind == "udp" else 0,
                )
                flows.append(flow)
    return tuple(flows)


def _pairs(ours: Iterable[str], theirs: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each of our addresses with one of theirs, in the same subnet if there is one."""
    known = [ipaddress.ip_interface(text) for text in theirs]
    for one in map(ipaddress.ip_interface, ours):
        same = [other for other in known if other.version == one.version]
        near = [other for other in same if other.ip in one.network]
        if same:
            yield str(one.ip), str((near or same)[0].ip)


def orders(
    flows: Iterable[Flow], end: End, *, rate: float, t0: float, run: str
) -> list[dict[str, Any]]:
    """Return what an end is told to do for the flows; nothing, for a ping that it answers.

    `run` is what all ends of one probe have in common, so that they ignore the packets of others.
    """
    return [
        {**order, "flow": flow.id, "kind": flow.kind, "rate": rate, "t0": t0, "run": run}
        for flow in flows
        if (order := _order(flow, sends=(end == "prober") == (flow.direction == "to-vm")))
    ]


def _order(flow: Flow, *, sends: bool) -> dict[str, Any] | None:
    target = flow.address if flow.direction == "to-vm" else flow.peer_address
    if flow.kind == "icmp":
        return {"role": "ping", "address": target, "port": 0} if sends else None
    if sends:
        return {"role": "send", "address": target, "port": flow.port}
    # At the destination the VM has no address yet.
    anywhere = "::" if ":" in target else "0.0.0.0"
    return {"role": "receive", "address": anywhere, "port": flow.port}
