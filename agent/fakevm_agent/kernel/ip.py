"""IP addresses and default routes of devices, in the calling thread's namespace."""

import ipaddress
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fakevm.errors import FakevmError, NotFoundError, UnavailableError
from fakevm_agent.kernel import netlink, rtnl
from fakevm_agent.kernel.netlink import Link
from fakevm_agent.kernel.rtnl import Channel, Message

# struct ifaddrmsg's length of the prefix, flags, scope and index.
_ADDRESS = struct.Struct("=xBBBi")
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY = 4, 5, 6
_RT_TABLE_MAIN, _RTPROT_STATIC, _RT_SCOPE_UNIVERSE, _RTN_UNICAST = 254, 4, 0, 1
# Both addresses of such a network are hosts' (RFC 3021).
_POINT_TO_POINT = 31
_REPLACE = rtnl.CREATE | rtnl.REPLACE
_IFA_F_NODAD = 0x02
_IFA_F_DADFAILED = 0x08
_IFA_F_TENTATIVE = 0x40
_SCOPE_LINK = 253
_RTNH_F_ONLINK = 4
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_RTMGRP_IPV4_IFADDR = 0x10
_RTMGRP_IPV6_IFADDR = 0x100


@dataclass(frozen=True, kw_only=True)
class Address:
    """An address on a device; not `ready`: the kernel still looks for a duplicate of it."""

    value: ipaddress.IPv4Interface | ipaddress.IPv6Interface
    ready: bool = True
    duplicate: bool = False
    link_local: bool = False


@dataclass(frozen=True, kw_only=True)
class Route:
    """A default route."""

    gateway: str
    metric: int
    onlink: bool


def links_and_addresses() -> tuple[dict[str, Link], dict[str, list[Address]]]:
    """Return the devices of the calling thread's namespace and their addresses, by name."""
    with Channel() as channel:
        links = netlink.by_name(channel.dump(rtnl.GETLINK))
        names = {link.index: link.name for link in links.values()}
        addresses: dict[str, list[Address]] = {name: [] for name in links}
        for message in channel.dump(rtnl.GETADDR):
            index, address = _address(message)
            if index in names:
                addresses[names[index]].append(address)
    return links, addresses


def set_addresses(
    device: str, *, add: Iterable[str], remove: Iterable[str], routes: Iterable[Route]
) -> None:
    """Remove and add addresses (with prefix length), then make sure of default routes."""
    try:
        index = socket.if_nametoindex(device)
    except OSError as error:
        raise FakevmError(f"{device}: the kernel refuses: {error}") from error
    gone = [(_address_message(rtnl.DELADDR, index, text), 0) for text in remove]
    new = [(_address_message(rtnl.NEWADDR, index, text), _REPLACE) for text in add]
    ways = [(_route_message(index, route), _REPLACE) for route in routes]
    rtnl.send(device, [*gone, *new, *ways])


def wait_until_addresses(
    device: str,
    satisfied: Callable[[list[Address]], bool],
    *,
    deadline: float,
    nudge: Callable[[list[Address]], None],
    stop: threading.Event,
    interval: float = 1.0,
) -> list[Address]:
    """Return the device's addresses as soon as they satisfy, or at the deadline.

    `nudge` is called at once and whenever an interval passes without a change. Raises NotFoundError
    as soon as the device is gone, and UnavailableError within an interval of `stop`.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as events:
        # Bound before the first look, so that no change is missed.
        events.bind((0, _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR))
        events.setblocking(False)
        changed = False
        while True:
            links, of_each = links_and_addresses()
            if device not in links:
                raise NotFoundError(f"{device} is gone: its VIF was unplugged")
            found = of_each[device]
            left = deadline - time.monotonic()
            if satisfied(found) or left <= 0:
                return found
            if stop.is_set():
                raise UnavailableError("the agent is stopped")
            if not changed:
                nudge(found)
            changed = bool(select.select([events], [], [], min(left, interval))[0])
            if changed:
                _drain(events)


def solicit_router(device: str) -> None:
    """Send a router solicitation (RFC 4861), as the kernel does only when a link comes up."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as channel:
        channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        # Type 133, code 0; the kernel fills in the checksum.
        channel.sendto(bytes([133] + [0] * 7), ("ff02::2", 0, 0, socket.if_nametoindex(device)))


def _drain(events: socket.socket) -> None:
    try:
        while events.recv(65536):
            pass
    except (BlockingIOError, OSError):
        pass  # Empty, or an overrun: either way we look again.


def _address(message: Message) -> tuple[int, Address]:
    """Return the index of the device that has the address, and the address."""
    prefix_len, few_flags, scope, index = _ADDRESS.unpack(message.header)
    value = ipaddress.ip_address(message.get(_IFA_LOCAL) or message.get(_IFA_ADDRESS))
    all_flags = message.get(_IFA_FLAGS)
    flags = rtnl.integer(all_flags) if all_flags else few_flags
    return index, Address(
        value=ipaddress.ip_interface(f"{value}/{prefix_len}"),
        ready=not flags & (_IFA_F_TENTATIVE | _IFA_F_DADFAILED),
        duplicate=bool(flags & _IFA_F_DADFAILED),
        link_local=scope == _SCOPE_LINK,
    )


def _address_message(kind: int, index: int, text: str) -> Message:
    value = ipaddress.ip_interface(text)
    attributes = [(_IFA_LOCAL, value.ip.packed), (_IFA_ADDRESS, value.ip.packed)]
    flags = 0
    if isinstance(value, ipaddress.IPv6Interface):
        # As Neutron gave the address, there is no other to wait for.
        flags = _IFA_F_NODAD
    elif value.network.prefixlen < _POINT_TO_POINT:
        attributes.append((_IFA_BROADCAST, value.network.broadcast_address.packed))
    family = _FAMILY[value.version]
    header = struct.pack("=BBBBi", family, value.network.prefixlen, flags, 0, index)
    return Message(kind, header, tuple(attributes))


def _route_message(index: int, route: Route) -> Message:
    gateway = ipaddress.ip_address(route.gateway)
    header = struct.pack(
        "=BBBBBBBBI",
        *(_FAMILY[gateway.version], 0, 0, 0),
        *(_RT_TABLE_MAIN, _RTPROT_STATIC, _RT_SCOPE_UNIVERSE, _RTN_UNICAST),
        _RTNH_F_ONLINK if route.onlink else 0,
    )
    attributes = (
        (_RTA_GATEWAY, gateway.packed),
        (_RTA_OIF, struct.pack("=I", index)),
        (_RTA_PRIORITY, struct.pack("=I", route.metric)),
    )
    return Message(rtnl.NEWROUTE, header, attributes)
