"""Reads pcapng files by their specification."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field


@dataclass
class Interface:
    """An interface of a pcapng file, and its packets: time and bytes."""

    name: str
    link_type: int
    options: dict[int, bytes]
    packets: list[tuple[int, bytes]] = field(default_factory=list)
    dropped: int | None = None


def read_pcapng(data: bytes) -> list[Interface]:
    """Read a file by its specification."""
    file, found = io.BytesIO(data), list[Interface]()
    kind, size = struct.unpack("<II", data[:8])
    assert (kind, struct.unpack_from("<IHHq", data, 8)) == (0x0A0D0D0A, (0x1A2B3C4D, 1, 0, -1))
    while head := file.read(8):
        kind, size = struct.unpack("<II", head)
        body = file.read(size - 12)
        assert size % 4 == 0
        assert file.read(4) == struct.pack("<I", size)
        if kind == 1:
            link_type, _, snaplen = struct.unpack_from("<HHI", body)
            assert snaplen == 262144
            options = read_options(body[8:])
            found.append(Interface(options[2].decode(), link_type, options))
        elif kind == 6:
            number, high, low, kept, _ = struct.unpack_from("<IIIII", body)
            found[number].packets.append(((high << 32) + low, body[20 : 20 + kept]))
        elif kind == 5:
            (number,) = struct.unpack_from("<I", body)
            (found[number].dropped,) = struct.unpack("<Q", read_options(body[12:])[5])
    return found


def read_options(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        code, size = struct.unpack_from("<HH", data)
        found[code] = data[4 : 4 + size]
        data = data[4 + -(-size // 4) * 4 :]
    assert found.pop(0) == b""
    return found
