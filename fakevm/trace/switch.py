"""A host's Open vSwitch: what it has, and where it says that a packet goes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_interface

from fakevm.backends import datapath, openflow
from fakevm.backends.datapath import Interface
from fakevm.backends.openflow import Key, Output, Traced, Tunnel
from fakevm.clients.process import ExitError, run
from fakevm.errors import UnavailableError

# How long a host may take for an answer.
ANSWER_S = 20.0

_MARK = "--- fakevm ---"

# By the socket of a host's ovs-vswitchd, which has no number in its name.
_APPCTL = "ovs-appctl --timeout=5 -t /run/openvswitch/ovs-vswitchd.ctl"

_LOOK = f"""
set -e
{_APPCTL} dpif/show; echo '{_MARK}'
ovs-vsctl --timeout=5 --format=json --columns=name,type,external_ids list Interface; echo '{_MARK}'
cat /run/fakevm/underlay; echo '{_MARK}'
cat /run/fakevm/provider; echo '{_MARK}'
host-outage list
"""

_TRACE = f"""
bridge=$1; shift
for flow; do {_APPCTL} ofproto/trace "$bridge" "$flow" && echo '{_MARK}' || exit; done
"""

_COUNT = f"""
{_APPCTL} revalidator/wait
for bridge; do ovs-ofctl --timeout=5 dump-flows "$bridge" && echo '{_MARK}' || exit; done
"""


@dataclass(frozen=True, kw_only=True)
class Switch:
    """What a host's Open vSwitch has."""

    host: str
    container: str
    interfaces: tuple[Interface, ...]
    # The interface of each port of Neutron's.
    devices: Mapping[str, str]
    # The address of its ends of tunnels.
    underlay: str
    # The network of its NIC on the physical network, as the engine has it.
    provider: str
    # What is broken in it on purpose, as "cut underlay compute-2".
    outages: tuple[str, ...] = ()

    def of_port(self, port_id: str) -> Interface | None:
        """Return the interface of a port of Neutron's."""
        name = self.devices.get(port_id)
        return next((one for one in self.interfaces if one.name == name), None)

    def named(self, name: str) -> Interface | None:
        """Return an interface by its name."""
        return next((one for one in self.interfaces if one.name == name), None)

    def tunnel_to(self, address: str) -> Interface | None:
        """Return the interface of the tunnel to another end."""
        return next((one for one in self.interfaces if one.remote == address), None)

    def left_by(self, output: Output) -> Interface | None:
        """Return the interface that a packet leaves by which no tunnel carries."""
        # Tunnels of a datapath share one number.
        if output.tunnel or output.port is None:
            return None
        return next(
            (one for one in self.interfaces if one.number == output.port and not one.remote), None
        )

    def nic_of(self, bridge: str) -> Interface | None:
        """Return the NIC that a bridge of a physical network has."""
        of_ports = {one.bridge for one in self.interfaces if one.name in self.devices.values()}
        if bridge in of_ports:
            return None
        found = (one for one in self.interfaces if one.bridge == bridge and one.type == "system")
        return next(found, None)

    def is_cut(self, network: str, peer: str) -> str:
        """Return the outage by which a packet to or from a peer is lost; "": there is none."""
        whole = (f"cut {network}", f"cut {network} {peer}")
        return next((one for one in self.outages if one in whole), "")


def look(host: str, container: str) -> Switch:
    """Ask a host what it has."""
    shown, listed, underlay, provider, outages = _asked(host, container, _LOOK)
    return switch(
        host,
        container,
        shown=shown,
        listed=listed,
        underlay=underlay,
        provider=provider,
        outages=outages.strip(),
    )


def switch(
    host: str,
    container: str,
    *,
    shown: str,
    listed: str,
    underlay: str,
    provider: str,
    outages: str,
) -> Switch:
    """Return what the answers mean."""
    rows = json.loads(listed)["data"]
    # The patch ports of a trunk have its parent's iface-id, too.
    ids_of = {name: dict(ids) for name, kind, (_, ids) in rows if kind != "patch"}
    return Switch(
        host=host,
        container=container,
        interfaces=tuple(datapath.interfaces(shown)),
        devices={ids["iface-id"]: name for name, ids in ids_of.items() if "iface-id" in ids},
        # Each has a NIC, its MAC and its address.
        underlay=underlay.split()[2].partition("/")[0],
        provider=str(ip_interface(provider.split()[2]).network),
        outages=tuple(outages.splitlines()),
    )


def follow(switch: Switch, bridge: str, *flows: str) -> list[Traced]:
    """Return where these packets go that come in on a bridge."""
    texts = _asked(switch.host, switch.container, _TRACE, bridge, *flows)
    return [openflow.traced(text) for text in texts[:-1]]


def entered(tunnel: Tunnel, through: Interface, peer: str) -> str:
    """Return how a packet comes out of a tunnel, as ovs-fields(7) has it."""
    option = f",tun_metadata0={tunnel.option}" if tunnel.option else ""
    return f"in_port={through.name},tun_id={tunnel.key:#x},tun_src={peer}{option}"


def counts(switch: Switch) -> dict[Key, int]:
    """Return the packets of each of a host's flows."""
    bridges = sorted({one.bridge for one in switch.interfaces})
    texts = _asked(switch.host, switch.container, _COUNT, *bridges)
    found: dict[Key, int] = {}
    for bridge, text in zip(bridges, texts, strict=False):
        found |= datapath.counters(bridge, text)
    return found


def _asked(host: str, container: str, script: str, *words: str) -> Sequence[str]:
    try:
        said = run(
            ("docker", "exec", container, "sh", "-c", script, "-", *words), timeout_s=ANSWER_S
        )
    except ExitError as error:
        raise UnavailableError(
            f"Open vSwitch of {host} does not answer: {error.output}", hint="fakevm status"
        ) from error
    return said.split(f"{_MARK}\n")
