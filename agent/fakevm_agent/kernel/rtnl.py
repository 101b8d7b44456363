"""The kernel's routing messages as bytes: read, and said again in another namespace (rtnetlink(7)).

pyroute2, which netlink.py has for what is to be done, decodes all that a message holds: some tenths
of a millisecond each. Here only what is asked for is looked at.
"""

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

from fakevm.errors import FakevmError

NEWLINK, GETLINK = 16, 18
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, GETROUTE = 24, 26
NEWNEIGH, GETNEIGH = 28, 30
NEWRULE, GETRULE = 32, 34

# The sizes of struct ifinfomsg, ifaddrmsg, rtmsg, ndmsg and fib_rule_hdr.
_HEADER_LEN = {NEWLINK: 16, NEWADDR: 8, NEWROUTE: 12, NEWNEIGH: 12, NEWRULE: 12}

REPLACE, EXCL, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800
_REQUEST, _ACK, _DUMP = 0x01, 0x04, 0x300
_DUMP_INTERRUPTED = 0x10
_ERROR, _DONE = 2, 3
_TYPE_MASK = 0x3FFF
_MESSAGE = struct.Struct("=LHHLL")
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVE = 1 << 17
# More acknowledgements may not fit into the socket's buffer.
_BATCH = 64
_DUMPS_MAX = 100


@dataclass(frozen=True)
class Message:
    """A message of the kernel's: its kind (RTM_NEW…), its fixed part, its attributes in order."""

    kind: int
    header: bytes
    attributes: tuple[tuple[int, bytes], ...]

    @property
    def family(self) -> int:
        """The address family, which is the first byte of each fixed part."""
        return self.header[0]

    def get(self, attribute: int) -> bytes:
        """Return an attribute's value; b"" where it is not there."""
        return next((value for kind, value in self.attributes if _number(kind) == attribute), b"")

    def with_attribute(self, attribute: int, value: bytes) -> "Message":
        """Return the message with this value in place of what the attribute was."""
        return replace(self, attributes=(*self.without(attribute).attributes, (attribute, value)))

    def without(self, *attributes: int) -> "Message":
        """Return the message without these attributes."""
        kept = tuple(pair for pair in self.attributes if _number(pair[0]) not in attributes)
        return replace(self, attributes=kept)

    def pack(self) -> bytes:
        """Return the message as the kernel has it, less its length, flags and number."""
        return self.header + b"".join(_pack_attribute(*pair) for pair in self.attributes)


def unpack(kind: int, data: bytes) -> Message:
    """Return the message that `pack` made; ValueError where the bytes are not one."""
    if kind not in _HEADER_LEN or len(data) < _HEADER_LEN[kind]:
        raise ValueError(f"not a message of kind {kind}")
    length = _HEADER_LEN[kind]
    return Message(kind, data[:length], tuple(attributes(data[length:])))


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and value of each attribute."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= length <= len(data) - at:
            raise ValueError("an attribute that is cut off")
        yield kind, data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)


class Channel:
    """A socket of the namespace that the calling thread is in."""

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        except OSError as error:
            raise FakevmError(f"no netlink socket: {error}") from error
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def dump(self, kind: int, family: int = socket.AF_UNSPEC) -> list[Message]:
        """Return all that a GET… lists; what a change interrupted is listed again."""
        for _ in range(_DUMPS_MAX):
            found = self._dump(kind, family)
            if found is not None:
                return found
        raise FakevmError(f"the kernel's answer was interrupted by changes {_DUMPS_MAX} times")

    def find(self, kind: int, *named: tuple[int, bytes]) -> Message | None:
        """Return the one that a GET… with these attributes names; None where there is none."""
        self._number += 1
        asked = Message(kind, bytes(_HEADER_LEN[kind - 2]), named)
        self._write([_message(kind, _REQUEST, self._number, asked.pack())])
        ((told, _, _, payload),) = self._read()
        if told != _ERROR:
            return unpack(told, payload)
        number = -struct.unpack_from("=i", payload)[0]
        if number == errno.ENODEV:
            return None
        raise _refused(number)

    def send(self, messages: Sequence[tuple[Message, int]]) -> list[int]:
        """Have each done, in order, whatever becomes of the others; return an errno for each."""
        found: list[int] = []
        for start in range(0, len(messages), _BATCH):
            found += self._send(messages[start : start + _BATCH])
        return found

    def _dump(self, kind: int, family: int) -> list[Message] | None:
        self._number += 1
        header = bytes([family]).ljust(_HEADER_LEN[kind - 2], b"\0")
        self._write([_message(kind, _REQUEST | _DUMP, self._number, header)])
        found: list[Message] = []
        interrupted = False
        while True:
            for told, flags, _, payload in self._read():
                interrupted |= bool(flags & _DUMP_INTERRUPTED)
                if told == _ERROR:
                    raise _refused(-struct.unpack_from("=i", payload)[0])
                if told == _DONE:
                    return None if interrupted else found
                found.append(unpack(told, payload))

    def _send(self, messages: Sequence[tuple[Message, int]]) -> list[int]:
        first = self._number + 1
        self._number += len(messages)
        self._write(
            [
                _message(message.kind, _REQUEST | _ACK | flags, first + place, message.pack())
                for place, (message, flags) in enumerate(messages)
            ]
        )
        found = [0] * len(messages)
        missing = len(messages)
        while missing:
            for kind, _, number, payload in self._read():
                if kind == _ERROR:
                    found[number - first] = -struct.unpack_from("=i", payload)[0]
                    missing -= 1
        return found

    def _write(self, parts: Sequence[bytes]) -> None:
        try:
            self._socket.send(b"".join(parts))
        except OSError as error:
            raise _refused(error.errno or errno.EIO) from error

    def _read(self) -> Iterator[tuple[int, int, int, bytes]]:
        try:
            data = self._socket.recv(_RECEIVE)
        except OSError as error:
            raise _refused(error.errno or errno.EIO) from error
        at = 0
        while at + _MESSAGE.size <= len(data):
            length, kind, flags, number, _ = _MESSAGE.unpack_from(data, at)
            yield kind, flags, number, data[at + _MESSAGE.size : at + length]
            at += _aligned(length)


def send(subject: str, messages: Sequence[tuple[Message, int]]) -> None:
    """Have all done, or raise what the kernel said of the first that it refuses."""
    with Channel() as channel:
        for number in channel.send(messages):
            if number:
                raise FakevmError(f"{subject}: the kernel refuses: {os.strerror(number)}")


def integer(value: bytes) -> int:
    """Return a number as an attribute has it."""
    return int.from_bytes(value, sys.byteorder)


def _message(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    return _MESSAGE.pack(_MESSAGE.size + len(payload), kind, flags, number, 0) + payload


def _number(kind: int) -> int:
    # The upper bits say how the value is coded (NLA_F_NESTED).
    return kind & _TYPE_MASK


def _pack_attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value.ljust(_aligned(len(value)), b"\0")


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _refused(number: int) -> FakevmError:
    return FakevmError(f"the kernel refuses: {os.strerror(number)}")
