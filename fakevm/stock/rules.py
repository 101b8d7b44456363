"""A security group's rules in words, as "ingress tcp 80 from 0.0.0.0/0": pure.

    DIRECTION [ipv4|ipv6] [PROTOCOL [PORTS]] [from|to REMOTE]

DIRECTION is ingress or egress; PROTOCOL a name or number of Neutron's; PORTS "80", "8000-8080", of
ICMP "TYPE" or "TYPE/CODE"; REMOTE a CIDR, or the name of a security group. What is left out is any.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_WORDS = re.compile(
    r"(?P<direction>ingress|egress)"
    r"( (?P<ethertype>ipv4|ipv6))?"
    r"( (?P<protocol>(?!from\b|to\b)[a-z][a-z0-9-]*|[0-9]{1,3})( (?P<ports>[0-9]+([-/][0-9]+)?))?)?"
    r"( (?P<word>from|to) (?P<remote>\S.*))?"
)

# For an editor, which knows no names of groups.
PATTERN = r"^(ingress|egress)( .+)?$"

# One name for each protocol that has several (neutron_lib/constants.py).
_NAMES = {"1": "icmp", "6": "tcp", "17": "udp", "58": "ipv6-icmp", "icmpv6": "ipv6-icmp"}
_ICMPV6 = "ipv6-icmp"
ICMP = ("icmp", _ICMPV6)
# Of which a rule may name ports.
_WITH_PORTS = (*ICMP, "tcp", "udp", "sctp", "dccp", "udplite", "132", "33", "136")
_LAST_PORT = 65535
_LAST_CODE = 255
_MOST = 255


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule of a security group."""

    direction: str
    # IPv4 or IPv6.
    ethertype: str = "IPv4"
    protocol: str | None = None
    # Of ICMP: type and code.
    port_min: int | None = None
    port_max: int | None = None
    # A CIDR, or a group's name; None: anybody.
    prefix: str | None = None
    group: str | None = None

    def __str__(self) -> str:
        words = [self.direction]
        if self.ethertype == "IPv6" and not self._says_ipv6:
            words.append("ipv6")
        if self.protocol:
            words += [self.protocol, *([ports] if (ports := self._ports) else [])]
        if remote := self.prefix or self.group:
            words += ["from" if self.direction == "ingress" else "to", remote]
        return " ".join(words)

    @property
    def _says_ipv6(self) -> bool:
        return self.protocol == _ICMPV6 or (self.prefix is not None and ":" in self.prefix)

    @property
    def _ports(self) -> str:
        low, high = self.port_min, self.port_max
        if low is None:
            return ""
        if self.protocol in ICMP:
            return f"{low}" if high is None else f"{low}/{high}"
        return f"{low}" if high in (None, low) else f"{low}-{high}"

    def body(self) -> dict[str, Any]:
        """Return it as Neutron takes it, without its groups."""
        return {
            "direction": self.direction,
            "ethertype": self.ethertype,
            "protocol": self.protocol,
            "port_range_min": self.port_min,
            "port_range_max": self.port_max,
            "remote_ip_prefix": self.prefix,
        }


# What Neutron gives each new group.
DEFAULTS = (Rule(direction="egress"), Rule(direction="egress", ethertype="IPv6"))


def parse(words: str) -> Rule:
    """Return the rule that these words say; ValueError, where they say none."""
    found = _WORDS.fullmatch(" ".join(words.split()))
    if found is None:
        raise ValueError(
            "a rule is expected, as 'ingress tcp 80 from 0.0.0.0/0':"
            " DIRECTION [ipv4|ipv6] [PROTOCOL [PORTS]] [from|to CIDR|GROUP]"
        )
    direction, protocol = found["direction"], found["protocol"]
    if found["word"] and found["word"] != ("from" if direction == "ingress" else "to"):
        raise ValueError(f"{direction} is {'from' if direction == 'ingress' else 'to'} somewhere")
    if protocol and protocol.isdigit() and int(protocol) > _MOST:
        raise ValueError(f"a protocol's number is at most {_MOST}, not {protocol}")
    protocol = _named(protocol, found["ethertype"] == "ipv6")
    low, high = _ports(found["ports"], protocol)
    prefix, group, version = _remote(found["remote"])
    says = version or ("IPv6" if protocol == _ICMPV6 else "")
    given = {"ipv4": "IPv4", "ipv6": "IPv6", None: ""}[found["ethertype"]]
    if given and says and given != says:
        raise ValueError(f"{found['ethertype']} does not go with the rest, which is {says}")
    return Rule(
        direction=direction,
        ethertype=given or says or "IPv4",
        protocol=protocol,
        port_min=low,
        port_max=high,
        prefix=prefix,
        group=group,
    )


def of_neutron(found: Mapping[str, Any], group: str | None) -> Rule:
    """Return a rule of Neutron's; `group`: the name of its remote group.

    Of an address in a network, as 10.0.0.5/24, Neutron's firewalls take the network.
    """
    prefix = found["remote_ip_prefix"]
    return Rule(
        direction=found["direction"],
        ethertype=found["ethertype"],
        protocol=_named(found["protocol"], found["ethertype"] == "IPv6"),
        port_min=found["port_range_min"],
        port_max=found["port_range_max"],
        prefix=prefix and str(ipaddress.ip_network(prefix, strict=False)),
        group=group,
    )


def _named(protocol: str | None, ipv6: bool) -> str | None:
    name = _NAMES.get(protocol or "", protocol)
    if name in (None, "any", "0"):
        return None
    return _ICMPV6 if ipv6 and name == "icmp" else name


def _ports(words: str | None, protocol: str | None) -> tuple[int | None, int | None]:
    if not words:
        return None, None
    if protocol not in _WITH_PORTS:
        raise ValueError(f"{protocol or 'any protocol'} has no ports")
    icmp = protocol in ICMP
    if (icmp and "-" in words) or (not icmp and "/" in words):
        raise ValueError("ports are 80 or 8000-8080; ICMP's type and code 8 or 8/0")
    first, _, second = words.replace("/", "-").partition("-")
    low = int(first)
    high = int(second) if second else (None if icmp else low)
    if max(low, high or 0) > (_LAST_CODE if icmp else _LAST_PORT):
        raise ValueError(f"{words} is more than {_LAST_CODE if icmp else _LAST_PORT}")
    if not icmp and (low < 1 or (high is not None and high < low)):
        raise ValueError(f"{words} is no range of ports")
    return low, high


def _remote(words: str | None) -> tuple[str | None, str | None, str]:
    """Return a remote's CIDR, or its group; and the version of IP that it says."""
    if words is None:
        return None, None, ""
    try:
        network = ipaddress.ip_network(words)
    except ValueError as error:
        if re.fullmatch(r"[0-9a-fA-F.:]+/[0-9]+", words):
            raise ValueError(f"{words}: {error}") from error
        return None, words, ""
    return str(network), None, f"IPv{network.version}"
