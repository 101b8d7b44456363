"""What of the kernel's messages moves with a guest, and how it is said in another namespace.

Pure. The numbers are linux/if_addr.h's, rtnetlink.h's, neighbour.h's and fib_rules.h's.
"""

import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from fakevm_agent.kernel import rtnl
from fakevm_agent.kernel.rtnl import Message

LOOPBACK = 1

# What each kind is, in words.
WORDS = {
    rtnl.NEWADDR: "an address",
    rtnl.NEWROUTE: "a route",
    rtnl.NEWNEIGH: "a neighbour",
    rtnl.NEWRULE: "a policy rule",
}

_IFA_ADDRESS, _IFA_LABEL, _IFA_CACHEINFO, _IFA_FLAGS = 1, 3, 6, 8
_IFA_F_NODAD, _IFA_F_DADFAILED, _IFA_F_PERMANENT = 0x02, 0x08, 0x80
# What a process may ask for; the kernel finds out the rest by itself.
_IFA_F_KEPT = {socket.AF_INET: 0x600, socket.AF_INET6: 0x710}
_OWN_ADDRESSES = (b"\x7f\x00\x00\x01", bytes(15) + b"\x01")
_SCOPE_LINK = 253

_RTA_IIF, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY = 3, 4, 5, 6
_RTA_MULTIPATH, _RTA_CACHEINFO, _RTA_VIA, _RTA_EXPIRES = 9, 12, 18, 23
_RTA_PAD, _RTA_NH_ID = 24, 30
_RTPROT_REDIRECT, _RTPROT_KERNEL, _RTPROT_RA = 1, 2, 9
_RTM_F_CLONED = 0x200
_RTNH_F_ONLINK = 4
_RA_METRIC = 1024
_TICKS_A_SECOND = 100

_NUD_REACHABLE, _NUD_STALE, _NUD_DELAY, _NUD_PROBE, _NUD_PERMANENT = 2, 4, 8, 16, 128
_NDA_CACHEINFO, _NDA_PROBES = 3, 4
_NTF_KEPT = 0x90

_FRA_IIFNAME, _FRA_PRIORITY, _FRA_OIFNAME, _FRA_PAD, _FRA_PROTOCOL = 3, 6, 17, 18, 21
_FIB_RULE_INVERT = 2

_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=8BI")
_NEIGHBOUR = struct.Struct("=BBHiHBB")
_RULE = struct.Struct("=8BI")
_LINK = struct.Struct("=BBHiII")
_NEXT_HOP = struct.Struct("=HBBi")


@dataclass(frozen=True, kw_only=True)
class Names:
    """A guest's devices in the namespace that it comes to, by what they were where it was."""

    indexes: Mapping[int, int]
    names: Mapping[str, str]


def address(message: Message) -> Message | None:
    """Return an address as it is asked for; None: it is every namespace's, or a duplicate."""
    family, prefix_len, flags, scope, index = _ADDRESS.unpack(message.header)
    if index == LOOPBACK and message.get(_IFA_ADDRESS) in _OWN_ADDRESSES:
        return None
    if told := message.get(_IFA_FLAGS):
        (flags,) = struct.unpack("=I", told)
    if family not in _IFA_F_KEPT or flags & _IFA_F_DADFAILED:
        return None
    kept = flags & _IFA_F_KEPT[family]
    if family == socket.AF_INET6:
        # The guest has it already: there is no duplicate to look for, and nothing to wait for.
        kept |= _IFA_F_NODAD
    header = _ADDRESS.pack(family, prefix_len, kept & 0xFF, scope, index)
    moved = replace(message, header=header).with_attribute(_IFA_FLAGS, struct.pack("=I", kept))
    return moved.without(_IFA_CACHEINFO) if flags & _IFA_F_PERMANENT else moved


def is_early(message: Message) -> bool:
    """Tell whether an address is to be there before its device is up.

    That brings an IPv4 address's route along, and the kernel then makes no link-local address of
    its own, for which it would look for a duplicate for a second.
    """
    family, _, _, scope, _ = _ADDRESS.unpack(message.header)
    return bool(family == socket.AF_INET or scope == _SCOPE_LINK)


def route(message: Message) -> Message | None:
    """Return a route as it is asked for; None: the kernel makes it from an address."""
    *values, flags = _ROUTE.unpack(message.header)
    protocol = values[5]
    if protocol in (_RTPROT_REDIRECT, _RTPROT_KERNEL) or flags & _RTM_F_CLONED:
        return None
    moved = replace(message, header=_ROUTE.pack(*values, flags & _RTNH_F_ONLINK))
    if len(cache := message.get(_RTA_CACHEINFO)) >= 12:
        (ticks,) = struct.unpack_from("=i", cache, 8)
        if ticks > 0:
            left = struct.pack("=I", max(1, ticks // _TICKS_A_SECOND))
            moved = moved.with_attribute(_RTA_EXPIRES, left)
    metric = struct.pack("=I", _RA_METRIC)
    if protocol == _RTPROT_RA and message.get(_RTA_PRIORITY) == metric:
        # The next advertisement's own must find room, or the kernel ignores the advertisement.
        moved = moved.with_attribute(_RTA_PRIORITY, struct.pack("=I", _RA_METRIC + 1))
    return moved.without(_RTA_CACHEINFO, _RTA_PAD, _RTA_NH_ID)


def neighbour(message: Message) -> Message | None:
    """Return a neighbour whose MAC is known as one that need not be asked for again."""
    family, one, two, index, state, flags, kind = _NEIGHBOUR.unpack(message.header)
    if state & (_NUD_DELAY | _NUD_PROBE):
        state = _NUD_STALE
    if state not in (_NUD_REACHABLE, _NUD_STALE, _NUD_PERMANENT):
        return None
    header = _NEIGHBOUR.pack(family, one, two, index, state, flags & _NTF_KEPT, kind)
    return replace(message, header=header).without(_NDA_CACHEINFO, _NDA_PROBES)


def rule(message: Message) -> Message | None:
    """Return a policy rule; None: it is one of the three that each namespace has."""
    if message.get(_FRA_PROTOCOL) == bytes([_RTPROT_KERNEL]) or not message.get(_FRA_PRIORITY):
        return None
    *values, flags = _RULE.unpack(message.header)
    header = _RULE.pack(*values, flags & _FIB_RULE_INVERT)
    return replace(message, header=header).without(_FRA_PAD)


def placed(message: Message, there: Names) -> Message | None:
    """Return a message with the devices' names and numbers there; None: its device is not."""
    match message.kind:
        case rtnl.NEWADDR:
            *values, index = _ADDRESS.unpack(message.header)
            if index not in there.indexes:
                return None
            label = _text(message.get(_IFA_LABEL))
            if label in there.names:
                message = message.with_attribute(_IFA_LABEL, _bytes(there.names[label]))
            return replace(message, header=_ADDRESS.pack(*values, there.indexes[index]))
        case rtnl.NEWNEIGH:
            before, (index, *after) = message.header[:4], _NEIGHBOUR.unpack(message.header)[3:]
            if index not in there.indexes:
                return None
            rest = struct.pack("=iHBB", there.indexes[index], *after)
            return replace(message, header=before + rest)
        case rtnl.NEWROUTE:
            return _placed_route(message, there.indexes)
        case rtnl.NEWRULE:
            for attribute in (_FRA_IIFNAME, _FRA_OIFNAME):
                if (name := _text(message.get(attribute))) in there.names:
                    message = message.with_attribute(attribute, _bytes(there.names[name]))
            return message
        case kind:
            raise ValueError(f"messages of kind {kind} do not move")


def in_order(routes: Iterable[Message]) -> list[Message]:
    """Return routes so that what a gateway is reached by comes before its own routes."""
    return sorted(routes, key=lambda m: any(map(m.get, (_RTA_GATEWAY, _RTA_VIA, _RTA_MULTIPATH))))


def link(index: int, *, up: bool) -> Message:
    """Return the message that sets a device up or down."""
    return Message(rtnl.NEWLINK, _LINK.pack(0, 0, 0, index, int(up), 1), ())


def _placed_route(message: Message, indexes: Mapping[int, int]) -> Message | None:
    for attribute in (_RTA_OIF, _RTA_IIF):
        if value := message.get(attribute):
            (index,) = struct.unpack("=I", value)
            if index not in indexes:
                return None
            message = message.with_attribute(attribute, struct.pack("=I", indexes[index]))
    if hops := message.get(_RTA_MULTIPATH):
        there = _placed_hops(hops, indexes)
        return message.with_attribute(_RTA_MULTIPATH, there) if there else None
    return message


def _placed_hops(hops: bytes, indexes: Mapping[int, int]) -> bytes:
    found, at = b"", 0
    while at + _NEXT_HOP.size <= len(hops):
        length, flags, weight, index = _NEXT_HOP.unpack_from(hops, at)
        if length < _NEXT_HOP.size:
            raise ValueError("a next hop that is cut off")
        if index in indexes:
            header = _NEXT_HOP.pack(length, flags & _RTNH_F_ONLINK, weight, indexes[index])
            found += header + hops[at + _NEXT_HOP.size : at + length]
        at += (length + 3) & ~3
    return found


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")


def _bytes(text: str) -> bytes:
    return text.encode() + b"\0"
