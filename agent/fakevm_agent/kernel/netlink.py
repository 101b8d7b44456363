"""Links, addresses and routes. The only module that imports pyroute2.

Each function opens a socket of its own: IPRoute is not thread-safe, and opening one takes 0.1 ms.
The socket belongs to the namespace that its thread is in (`netns.entered`). What every plug reads
and sets goes by `rtnl`, in a tenth of pyroute2's time, which decodes all that the kernel tells.
"""

import errno
import ipaddress
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from fakevm.errors import FakevmError
from fakevm_agent.kernel import libc, netns, rtnl
from fakevm_agent.kernel.rtnl import Channel, Message

# struct ifinfomsg's index and flags; its flags, and which of them are to be set.
_LINK, _LINK_STATE = struct.Struct("=4xiI4x"), struct.Struct("=8xII")
# struct ifaddrmsg's length of the prefix, flags, scope and index.
_ADDRESS = struct.Struct("=xBBBi")
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER = 1, 3, 4, 10
_IFLA_LINKINFO, _IFLA_INFO_KIND = 18, 1
_IFLA_IFALIAS = 20
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY = 4, 5, 6
_RT_TABLE_MAIN, _RTPROT_STATIC, _RT_SCOPE_UNIVERSE, _RTN_UNICAST = 254, 4, 0, 1
_REPLACE = rtnl.CREATE | rtnl.REPLACE
_IFF_UP = 1
_IFA_F_NODAD = 0x02
_IFA_F_DADFAILED = 0x08
_IFA_F_TENTATIVE = 0x40
_SCOPE_LINK = 253
_RTNH_F_ONLINK = 4
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_RTMGRP_IPV4_IFADDR = 0x10
_RTMGRP_IPV6_IFADDR = 0x100


@dataclass(frozen=True, kw_only=True)
class Link:
    """A network device."""

    name: str
    kind: str
    mac_address: str
    mtu: int
    up: bool
    index: int
    master: int | None = None
    alias: str = ""


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


def links() -> dict[str, Link]:
    """Return the devices of the calling thread's namespace by name."""
    with Channel() as channel:
        return _by_name(channel.dump(rtnl.GETLINK))


def find_links(*names: str) -> dict[str, Link]:
    """Return those of these devices that exist by name, in the time of a few and not of all."""
    with Channel() as channel:
        found = [channel.find(rtnl.GETLINK, (_IFLA_IFNAME, _text(name))) for name in names]
    return _by_name(message for message in found if message)


def links_and_addresses() -> tuple[dict[str, Link], dict[str, list[Address]]]:
    """Return the devices of the calling thread's namespace and their addresses, by name."""
    with Channel() as channel:
        links = _by_name(channel.dump(rtnl.GETLINK))
        names = {link.index: link.name for link in links.values()}
        addresses: dict[str, list[Address]] = {name: [] for name in links}
        for message in channel.dump(rtnl.GETADDR):
            index, address = _address(message)
            if index in names:
                addresses[names[index]].append(address)
    return links, addresses


def create_veth(
    device: str, *, peer: str, namespace: str, mac_address: str, peer_mac: str, mtu: int
) -> None:
    """Create a veth pair: `device` here, `peer` inside `namespace`."""
    with _socket(device) as ip, netns.path(namespace).open() as inside:
        # In one request, so that the peer is never seen elsewhere or with another MAC.
        ip.link(
            "add",
            ifname=device,
            kind="veth",
            address=mac_address,
            mtu=mtu,
            peer={
                "ifname": peer,
                "address": peer_mac,
                "mtu": mtu,
                "net_ns_fd": inside.fileno(),
            },
        )


def set_link(
    device: str, *, up: bool | None = None, mac_address: str = "", mtu: int = 0, alias: str = ""
) -> None:
    """Set what is given of a device."""
    attributes = [(_IFLA_IFNAME, _text(device))]
    if mac_address:
        attributes.append((_IFLA_ADDRESS, bytes.fromhex(mac_address.replace(":", ""))))
    if mtu:
        attributes.append((_IFLA_MTU, struct.pack("=I", mtu)))
    if alias:
        attributes.append((_IFLA_IFALIAS, alias.encode()))
    header = _LINK_STATE.pack(_IFF_UP if up else 0, 0 if up is None else _IFF_UP)
    _send(device, [(Message(rtnl.NEWLINK, header, tuple(attributes)), 0)])


def set_master(device: str, bridge: str) -> None:
    """Make a device a port of a Linux bridge."""
    with _socket(device) as ip:
        ip.link("set", ifname=device, master=socket.if_nametoindex(bridge))


def delete_link(device: str) -> None:
    """Delete a device; content if it is gone."""
    with _socket(device) as ip:
        try:
            ip.link("del", ifname=device)
        except NetlinkError as error:
            if error.code != errno.ENODEV:
                raise


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
    _send(device, [*gone, *new, *ways])


def addresses(device: str) -> list[Address]:
    """Return the addresses of one device; none where it is not there."""
    return links_and_addresses()[1].get(device, [])


def wait_until_addresses(
    device: str,
    satisfied: Callable[[list[Address]], bool],
    *,
    deadline: float,
    nudge: Callable[[list[Address]], None],
    interval: float = 1.0,
) -> list[Address]:
    """Return the device's addresses as soon as they satisfy, or at the deadline.

    `nudge` is called at once and whenever an interval passes without a change.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as events:
        # Bound before the first look, so that no change is missed.
        events.bind((0, _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR))
        events.setblocking(False)
        changed = False
        while True:
            found = addresses(device)
            left = deadline - time.monotonic()
            if satisfied(found) or left <= 0:
                return found
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


def disable_tx_checksum(device: str) -> None:
    """Have the kernel, not the device, compute checksums of what is sent."""
    try:
        libc.disable_tx_checksum(device)
    except OSError as error:
        raise FakevmError(f"{device}: tx checksum offload can't be turned off: {error}") from error


def _drain(events: socket.socket) -> None:
    try:
        while events.recv(65536):
            pass
    except (BlockingIOError, OSError):
        pass  # Empty, or an overrun: either way we look again.


def _by_name(messages: Iterable[Message]) -> dict[str, Link]:
    return {link.name: link for link in map(_link, messages)}


def _link(message: Message) -> Link:
    index, flags = _LINK.unpack(message.header)
    master = message.get(_IFLA_MASTER)
    about = dict(rtnl.attributes(message.get(_IFLA_LINKINFO)))
    return Link(
        name=_words(message.get(_IFLA_IFNAME)),
        kind=_words(about.get(_IFLA_INFO_KIND, b"")),
        mac_address=message.get(_IFLA_ADDRESS).hex(":"),
        mtu=_number(message.get(_IFLA_MTU)),
        up=bool(flags & _IFF_UP),
        index=index,
        master=_number(master) if master else None,
        alias=_words(message.get(_IFLA_IFALIAS)),
    )


def _address(message: Message) -> tuple[int, Address]:
    """Return the index of the device that has the address, and the address."""
    prefix_len, few_flags, scope, index = _ADDRESS.unpack(message.header)
    value = ipaddress.ip_address(message.get(_IFA_LOCAL) or message.get(_IFA_ADDRESS))
    all_flags = message.get(_IFA_FLAGS)
    flags = _number(all_flags) if all_flags else few_flags
    return index, Address(
        value=ipaddress.ip_interface(f"{value}/{prefix_len}"),
        ready=not flags & (_IFA_F_TENTATIVE | _IFA_F_DADFAILED),
        duplicate=bool(flags & _IFA_F_DADFAILED),
        link_local=scope == _SCOPE_LINK,
    )


def _number(value: bytes) -> int:
    return int.from_bytes(value, sys.byteorder)


def _text(words: str) -> bytes:
    return words.encode() + b"\0"


def _words(text: bytes) -> str:
    return text.rstrip(b"\0").decode(errors="replace")


def _address_message(kind: int, index: int, text: str) -> Message:
    value = ipaddress.ip_interface(text)
    attributes = [(_IFA_LOCAL, value.ip.packed), (_IFA_ADDRESS, value.ip.packed)]
    flags = 0
    if isinstance(value, ipaddress.IPv6Interface):
        # As Neutron gave the address, there is no other to wait for.
        flags = _IFA_F_NODAD
    else:
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


def _send(subject: str, messages: Sequence[tuple[Message, int]]) -> None:
    """Have all done, or raise what the kernel said of the first that it refuses."""
    with Channel() as channel:
        for number in channel.send(messages):
            if number:
                raise FakevmError(f"{subject}: the kernel refuses: {os.strerror(number)}")


@contextmanager
def _socket(subject: str) -> Iterator[Any]:
    try:
        with IPRoute() as ip:
            yield ip
    except (NetlinkError, OSError) as error:
        raise FakevmError(f"{subject}: the kernel refuses: {error}") from error
