"""A numbered packet as bytes, by itself and in an ICMP echo."""

import os
import struct

MAGIC = b"fakevmP1"

_HEAD = struct.Struct("!8sQdBBB")
_ECHO = struct.Struct("!BBHHH")
ECHO_REQUEST = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}


class Packet:
    """What a packet says of itself."""

    def __init__(self, *, run: str, flow: str, seq: int, sent: float, host: str) -> None:
        self.run = run
        self.flow = flow
        self.seq = seq
        self.sent = sent
        self.host = host

    def pack(self) -> bytes:
        """Return the payload."""
        words = [word.encode()[:255] for word in (self.run, self.flow, self.host)]
        return _HEAD.pack(MAGIC, self.seq, self.sent, *map(len, words)) + b"".join(words)


def unpack(payload: bytes) -> Packet | None:
    """Return the packet; None where it is none of a prober's."""
    if len(payload) < _HEAD.size:
        return None
    magic, seq, sent, *lengths = _HEAD.unpack_from(payload)
    if magic != MAGIC or len(payload) < _HEAD.size + sum(lengths):
        return None
    words, at = [], _HEAD.size
    for length in lengths:
        words.append(payload[at : at + length].decode(errors="replace"))
        at += length
    run, flow, host = words
    return Packet(run=run, flow=flow, seq=seq, sent=sent, host=host)


def echo_request(version: int, number: int, payload: bytes) -> bytes:
    """Return an ICMP echo request; of IPv6 the kernel computes the checksum."""
    kind, identity = ECHO_REQUEST[version], os.getpid() & 0xFFFF
    head = _ECHO.pack(kind, 0, 0, identity, number & 0xFFFF)
    if version == 4:
        head = _ECHO.pack(kind, 0, checksum(head + payload), identity, number & 0xFFFF)
    return head + payload


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo(version: int, data: bytes) -> tuple[int, bytes]:
    """Return kind and payload of what a raw ICMP socket received; IPv4's has the IP header."""
    start = (data[0] & 0x0F) * 4 if version == 4 and data else 0
    if len(data) < start + _ECHO.size:
        return -1, b""
    kind: int = data[start]
    return kind, data[start + _ECHO.size :]
