"""The blocks of a pcapng file that a capture consists of: pure.

By draft-ietf-opsawg-pcapng, little-endian; its sections are named beside each block.
"""

from __future__ import annotations

import struct

from fakevm.capture.packets import Packet

# As much as tcpdump keeps of a packet. All interfaces have the same: libpcap reads no other files.
SNAPLEN = 262144

_PACKET = struct.Struct("<IIIIIII")
_LENGTH = struct.Struct("<I")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


def section(comment: str, application: str) -> bytes:
    """Return a Section Header Block (4.1), of a length that is not known."""
    options = _option(1, comment.encode()) + _option(4, application.encode())
    return _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + options + _option(0))


def interface(link_type: int, *, name: str, description: str, bpf: str) -> bytes:
    """Return an Interface Description Block (4.2), whose times are in nanoseconds."""
    options = _option(2, name.encode()) + _option(3, description.encode()) + _option(9, b"\x09")
    if bpf:
        # The first byte says that it is libpcap's words.
        options += _option(11, b"\0" + bpf.encode())
    return _block(1, struct.pack("<HHI", link_type, 0, SNAPLEN) + options + _option(0))


def packet(number: int, seen: Packet) -> bytes:
    """Return an Enhanced Packet Block (4.3) of an interface: they are numbered as they stand."""
    time_ns, data, length = seen
    padding = _PADDING[len(data) % 4]
    size = 32 + len(data) + len(padding)
    head = (6, size, number, time_ns >> 32, time_ns & 0xFFFFFFFF, len(data), length)
    return b"".join((_PACKET.pack(*head), data, padding, _LENGTH.pack(size)))


def statistics(number: int, *, time_ns: int, received: int, dropped: int) -> bytes:
    """Return an Interface Statistics Block (4.6)."""
    options = _option(4, struct.pack("<Q", received)) + _option(5, struct.pack("<Q", dropped))
    head = struct.pack("<III", number, time_ns >> 32, time_ns & 0xFFFFFFFF)
    return _block(5, head + options + _option(0))


def _block(kind: int, body: bytes) -> bytes:
    size = 12 + len(body)
    return struct.pack("<II", kind, size) + body + _LENGTH.pack(size)


def _option(code: int, value: bytes = b"") -> bytes:
    return struct.pack("<HH", code, len(value)) + value + _PADDING[len(value) % 4]
