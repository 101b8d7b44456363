"""Devices. The only module that imports pyroute2.

Each function opens a socket of its own: IPRoute is not thread-safe, and opening one takes 0.1 ms.
The socket belongs to the namespace that its thread is in (`netns.entered`). What every plug reads
and sets goes by `rtnl`, in a tenth of pyroute2's time, which decodes all that the kernel tells.
"""

import errno
import socket
import struct
from collections.abc import Iterable, Iterator
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
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER = 1, 3, 4, 10
_IFLA_LINKINFO, _IFLA_INFO_KIND = 18, 1
_IFLA_IFALIAS = 20
_IFF_UP = 1


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


def links() -> dict[str, Link]:
    """Return the devices of the calling thread's namespace by name."""
    with Channel() as channel:
        return by_name(channel.dump(rtnl.GETLINK))


def find_links(*names: str) -> dict[str, Link]:
    """Return those of these devices that exist by name, in the time of a few and not of all."""
    with Channel() as channel:
        found = [channel.find(rtnl.GETLINK, (_IFLA_IFNAME, _text(name))) for name in names]
    return by_name(message for message in found if message)


def by_name(messages: Iterable[Message]) -> dict[str, Link]:
    """Return the devices that messages tell of."""
    return {link.name: link for link in map(_link, messages)}


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
    rtnl.send(device, [(Message(rtnl.NEWLINK, header, tuple(attributes)), 0)])


def create_bridge(name: str) -> None:
    """Create a Linux bridge; content if it is there."""
    with _socket(name) as ip:
        try:
            ip.link("add", ifname=name, kind="bridge")
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise


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


def disable_tx_checksum(device: str) -> None:
    """Have the kernel, not the device, compute checksums of what is sent."""
    try:
        libc.disable_tx_checksum(device)
    except OSError as error:
        raise FakevmError(f"{device}: tx checksum offload can't be turned off: {error}") from error


def _link(message: Message) -> Link:
    index, flags = _LINK.unpack(message.header)
    master = message.get(_IFLA_MASTER)
    about = dict(rtnl.attributes(message.get(_IFLA_LINKINFO)))
    return Link(
        name=_words(message.get(_IFLA_IFNAME)),
        kind=_words(about.get(_IFLA_INFO_KIND, b"")),
        mac_address=message.get(_IFLA_ADDRESS).hex(":"),
        mtu=rtnl.integer(message.get(_IFLA_MTU)),
        up=bool(flags & _IFF_UP),
        index=index,
        master=rtnl.integer(master) if master else None,
        alias=_words(message.get(_IFLA_IFALIAS)),
    )


def _text(words: str) -> bytes:
    return words.encode() + b"\0"


def _words(text: bytes) -> str:
    return text.rstrip(b"\0").decode(errors="replace")


@contextmanager
def _socket(subject: str) -> Iterator[Any]:
    try:
        with IPRoute() as ip:
            yield ip
    except (NetlinkError, OSError) as error:
        raise FakevmError(f"{subject}: the kernel refuses: {error}") from error
