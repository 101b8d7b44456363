"""Devices as they are, and what is set of them.

Each function opens a socket of its own, which takes 0.1 ms and belongs to the namespace that its
thread is in (`netns.entered`). What every plug reads and sets goes by `rtnl`, in a tenth of
pyroute2's time, which decodes all that the kernel tells; what makes and deletes is in `devices`.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from fakevm.errors import FakevmError
from fakevm_agent.kernel import libc, rtnl
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
