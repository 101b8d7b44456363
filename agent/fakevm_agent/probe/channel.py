"""The sockets that packets go by."""

import socket
import struct
import time
from collections.abc import Iterator

from fakevm_agent.probe.flow import FAMILY

_READ = 65536
_RECEIVE_BUFFER = 1024 * 1024
# linux/socket.h; Python has no name for it.
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("=qq")


def open_socket(kind: str, version: int, port: int) -> socket.socket:
    """Return a socket of a kind and an IP version; with a port, one that receives there."""
    if kind == "udp":
        channel = socket.socket(FAMILY[version], socket.SOCK_DGRAM)
    else:
        protocol = socket.IPPROTO_ICMPV6 if version == 6 else socket.IPPROTO_ICMP
        channel = socket.socket(FAMILY[version], socket.SOCK_RAW, protocol)
    channel.setblocking(False)
    channel.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    if port:
        if version == 6:
            channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Of any address: the VM may get its own later.
        channel.bind(("", port))
    return channel


def received(channel: socket.socket) -> Iterator[tuple[bytes, float]]:
    """Yield what has come, and when it came to the kernel."""
    while True:
        try:
            data, told, _, _ = channel.recvmsg(_READ, socket.CMSG_SPACE(_TIMESPEC.size))
        except BlockingIOError:
            return
        except OSError:
            return  # What became of something that was sent.
        at = time.time()
        for level, kind, value in told:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                seconds, nanoseconds = _TIMESPEC.unpack(value)
                at = seconds + nanoseconds / 1e9
        yield data, at
