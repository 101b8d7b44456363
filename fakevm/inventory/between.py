"""By which of their ports one VM reaches another."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from fakevm.neutron.values import Port


def between(sources: Sequence[Port], targets: Sequence[Port]) -> tuple[Port, Port, str] | None:
    """Return a port of each VM, and the second one's address: on a network of both, IPv4 first.

    None, where the second one has no address.
    """
    networks = {port.network_id: port for port in sources}
    ways = [
        (port.network_id not in networks, ip_address(ip.ip_address).version, place, port, ip)
        for place, port in enumerate(targets)
        for ip in port.fixed_ips
    ]
    if not ways:
        return None
    *_, port, ip = min(ways, key=lambda way: way[:3])
    return networks.get(port.network_id, sources[0]), port, ip.ip_address
