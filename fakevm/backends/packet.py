"""A packet that is followed, in the words of those who are asked where it goes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal

Protocol = Literal["icmp", "tcp", "udp"]

# Where a first packet comes from, if nobody says otherwise: one of those that Linux chooses of.
SOURCE_PORT = 40000

TTL = 64

BROADCAST = "ff:ff:ff:ff:ff:ff"


@dataclass(frozen=True, kw_only=True)
class Packet:
    """The first packet of a connection, or an echo request."""

    protocol: Protocol
    # Of TCP and UDP.
    port: int | None
    source: str
    target: str
    source_mac: str
    target_mac: str
    ttl: int = TTL

    @property
    def version(self) -> int:
        """4 or 6."""
        return ipaddress.ip_address(self.target).version

    @property
    def service(self) -> str:
        """What it asks for, as "tcp/80"."""
        return self.protocol if self.port is None else f"{self.protocol}/{self.port}"

    @property
    def words(self) -> str:
        """It as people say it, as "tcp/80 10.0.0.5 → 10.0.0.6"."""
        return f"{self.service} {self.source} → {self.target}"

    @property
    def flow(self) -> str:
        """It as ovs-fields(7) has it."""
        kind = f"{self.protocol}{'6' if self.version == 6 else ''}"
        ip = "ipv6" if self.version == 6 else "nw"
        more = {"nw_ttl": self.ttl}
        if self.protocol == "icmp":
            name, echo = ("icmpv6", 128) if self.version == 6 else ("icmp", 8)
            more |= {f"{name}_type": echo, f"{name}_code": 0}
        else:
            more |= {"tp_src": SOURCE_PORT, "tp_dst": self.port or 0}
        if self.protocol == "tcp":
            # A SYN.
            more |= {"tcp_flags": 2}
        fields = ",".join(f"{name}={value}" for name, value in more.items())
        return (
            f"{kind},dl_src={self.source_mac},dl_dst={self.target_mac},"
            f"{ip}_src={self.source},{ip}_dst={self.target},{fields}"
        )

    def question(self, address: str) -> str:
        """What is asked before it for the MAC of its next hop, as ovs-fields(7) has it."""
        if self.version == 4:
            return (
                f"arp,dl_src={self.source_mac},dl_dst={BROADCAST},arp_op=1,arp_spa={self.source},"
                f"arp_tpa={address},arp_sha={self.source_mac},arp_tha=00:00:00:00:00:00"
            )
        # RFC 4291, 2.7.1: the solicited-node address, and its Ethernet one (RFC 2464, 7).
        low = ipaddress.ip_address(address).packed[-3:]
        group = ipaddress.ip_address(bytes.fromhex("ff0200000000000000000001ff") + low)
        mac = ":".join(["33", "33", *(f"{byte:02x}" for byte in group.packed[-4:])])
        return (
            f"icmp6,dl_src={self.source_mac},dl_dst={mac},ipv6_src={self.source},ipv6_dst={group},"
            f"nw_ttl=255,icmpv6_type=135,icmpv6_code=0,nd_target={address},nd_sll={self.source_mac}"
        )
