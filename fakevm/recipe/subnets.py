"""A lab's subnets: slices of a range of their own, which no other network uses."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Collection, Mapping

from fakevm.clients.containers import Network
from fakevm.errors import ConflictError
from fakevm.names import DEFAULT_LAB

# The range of benchmarks (RFC 2544): no home, office or VPN uses it. A lab gets one of its 64 /21.
LABS_RANGE = ipaddress.IPv4Network("198.18.0.0/15")
SLICES = 64

# Of a lab's /21: which /23 is whose.
ROLES = ("management", "underlay", "provider")


def slice_of(number: int) -> dict[str, str]:
    """Return the subnets of a slice by role."""
    first = int(LABS_RANGE.network_address) + number * 2**11
    return {
        role: str(ipaddress.IPv4Network((first + place * 2**9, 23)))
        for place, role in enumerate(ROLES)
    }


def choose_slice(lab: str, networks: Collection[Network]) -> int:
    """Return the slice for a new lab's subnets.

    The default lab has slice 0; another one begins at a hash of its name and takes the first free.
    """
    if lab == DEFAULT_LAB:
        taken = collisions(slice_of(0), networks)
        if taken:
            raise ConflictError(
                f"the lab's subnets are in use by Docker network {', '.join(taken)}",
                hint="fakevm up --name ANOTHER, or remove that network",
            )
        return 0
    first = int.from_bytes(hashlib.sha256(lab.encode()).digest()[:4], "big") % (SLICES - 1)
    for step in range(SLICES - 1):
        number = 1 + (first + step) % (SLICES - 1)
        if not collisions(slice_of(number), networks):
            return number
    raise ConflictError(
        f"Docker networks use every slice of {LABS_RANGE}", hint="fakevm down, for a lab not needed"
    )


def collisions(subnets: Mapping[str, str], networks: Collection[Network]) -> list[str]:
    """Return the Docker networks that use one of these subnets, or a part of it."""
    ours = [ipaddress.ip_network(subnet) for subnet in subnets.values()]
    return sorted(
        {
            f"{network.name} ({subnet})"
            for network in networks
            for subnet in network.subnets
            for own in ours
            if own.version == ipaddress.ip_network(subnet).version
            and own.overlaps(ipaddress.ip_network(subnet))
        }
    )
