"""fakevm-probe: one end of numbered packet flows, run in a VM; the standard library only.

stdin, a JSON object a line:
  {"flow": id, "role": "send" | "receive" | "ping", "kind": "udp" | "icmp", "address": …,
   "port": …, "rate": packets a second, "t0": …}       begin; "run" and "host" (text) may be added
  {"flow": id, "stop": true}                           end this flow
  {"stop": true}                                       end all, as does the end of stdin, or SIGTERM
stdout, a JSON object a line, at least every 50 ms when there is something to tell:
  {"flow": id, "ready": true}                          its socket is open
  {"flow": id, "sent": [[seq, t], …], "received": [[seq, t, sent at, sender's host], …]}
  {"end": true}                                        the last line

Times are in seconds since the epoch; of what is received, the kernel's. Packet `seq` of a flow is
due at t0 + seq / rate, so that a sender that is started elsewhere goes on in the same numbering. A
send that fails, as while the NIC is down, is no packet. A sender that was held up sends the packet
that is due now, not those that it missed. An ICMP receiver takes echo requests; a ping also takes
the replies, which are the peer's kernel's.
"""

import json
import math
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

MAGIC = b"fakevmP1"
FLUSH_S = 0.05
LIMIT_S = 3600.0

_RATE = 100.0
_RATE_MAX = 10_000.0
_NICENESS = -20
_OUTPUT_MAX = 16 * 1024 * 1024
_RECEIVE_BUFFER = 1024 * 1024
_LAST_WORDS_S = 2.0
_READ = 65536
# linux/socket.h; Python has no name for it.
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("=qq")
_HEAD = struct.Struct("!8sQdBBB")
_ECHO = struct.Struct("!BBHHH")
_ECHO_REQUEST = {4: 8, 6: 128}
_ECHO_REPLY = {4: 0, 6: 129}
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_ROLES = ("send", "receive", "ping")
_KINDS = ("udp", "icmp")


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
    kind, identity = _ECHO_REQUEST[version], os.getpid() & 0xFFFF
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


class Slots:
    """When a flow's packets are due."""

    def __init__(self, *, t0: float, rate: float, now: float) -> None:
        self._t0 = t0
        self._rate = rate
        # The next whole one: the one that runs was another sender's, or nobody's.
        self._next = max(0, math.ceil((now - t0) * rate))

    def due(self) -> float:
        """Return when the next packet is due."""
        return self._t0 + self._next / self._rate

    def take(self, now: float) -> int | None:
        """Return the number of the packet that is due now, and go on to the next; None: not yet."""
        if now < self.due():
            return None
        seq = max(self._next, math.floor((now - self._t0) * self._rate))
        self._next = seq + 1
        return seq


class Flow:
    """One flow's end, as stdin asked for it; raises ValueError where that makes no sense."""

    def __init__(self, order: dict[str, object], *, now: float, host: str) -> None:
        self.id = _text(order, "flow")
        self.role = _text(order, "role", among=_ROLES)
        self.kind = _text(order, "kind", among=_KINDS)
        self.address = _text(order, "address")
        self.version = 6 if ":" in self.address else 4
        _check_address(self.address, self.version)
        self.port = int(_number(order, "port", 0, 0, 65535))
        self.run = str(order.get("run", ""))
        self.host = str(order.get("host", host))
        if (self.role, self.kind) == ("ping", "udp"):
            raise ValueError(f"flow {self.id}: a ping is icmp")
        if self.kind == "udp" and not self.port:
            raise ValueError(f"flow {self.id}: udp needs a port")
        rate = _number(order, "rate", _RATE, 0.001, _RATE_MAX)
        t0 = _number(order, "t0", now, 0, math.inf)
        self.slots = None if self.role == "receive" else Slots(t0=t0, rate=rate, now=now)
        self.sent: list[tuple[int, float]] = []
        self.received: list[tuple[int, float, float, str]] = []

    def report(self) -> dict[str, object] | None:
        """Return what is new, once; None: nothing."""
        if not self.sent and not self.received:
            return None
        told: dict[str, object] = {"flow": self.id}
        if self.sent:
            told["sent"] = self.sent
        if self.received:
            told["received"] = self.received
        self.sent, self.received = [], []
        return told


class Prober:
    """All flows of this process."""

    def __init__(self, *, stdin: int, stdout: int, limit_s: float) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._until = time.monotonic() + limit_s
        self._host = socket.gethostname()
        self._flows: dict[str, Flow] = {}
        # By kind, version and the port to receive at, 0 for none.
        self._sockets: dict[tuple[str, int, int], socket.socket] = {}
        self._rest = b""
        self._output = bytearray()
        self._flush_at = 0.0
        self._ended = False

    def end(self, *_: object) -> None:
        """End at the next opportunity."""
        self._ended = True

    def run(self, wake_up: int) -> None:
        """Work until told to end, or the limit; raises ValueError for an order that is wrong."""
        os.set_blocking(self._stdout, False)
        while not self._ended and time.monotonic() < self._until:
            self._work(wake_up)
        for key, channel in self._sockets.items():
            self._receive(key, channel)
        self._flush()
        self._say({"end": True})
        deadline = time.monotonic() + _LAST_WORDS_S
        while self._output and time.monotonic() < deadline:
            select.select([], [self._stdout], [], _LAST_WORDS_S)
            self._write()

    def _work(self, wake_up: int) -> None:
        """Wait for what comes first, and do all that is due."""
        by_socket = {channel: key for key, channel in self._sockets.items()}
        due = [flow.slots.due() for flow in self._flows.values() if flow.slots]
        until = min([self._flush_at, *due]) - time.time()
        reading: list[int | socket.socket] = [self._stdin, wake_up, *by_socket]
        writing = [self._stdout] if self._output else []
        readable, writable, _ = select.select(reading, writing, [], max(0.0, until))
        for flow in self._flows.values():
            self._send(flow)
        for ready in readable:
            if isinstance(ready, socket.socket):
                self._receive(by_socket[ready], ready)
        if time.time() >= self._flush_at:
            self._flush()
        if writable:
            self._write()
        if self._stdin in readable:
            self._read()

    def _read(self) -> None:
        data = os.read(self._stdin, _READ)
        if not data:
            self.end()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in filter(bytes.strip, lines):
            self._obey(json.loads(line))

    def _obey(self, order: dict[str, object]) -> None:
        if "flow" not in order:
            if not order.get("stop"):
                raise ValueError(f"neither a flow nor a stop: {json.dumps(order):.80}")
            self.end()
        elif order.get("stop"):
            if flow := self._flows.pop(str(order["flow"]), None):
                self._say(flow.report())
        else:
            flow = Flow(order, now=time.time(), host=self._host)
            self._socket(flow)
            self._flows[flow.id] = flow
            self._say({"flow": flow.id, "ready": True})

    def _socket(self, flow: Flow) -> socket.socket:
        """Return the socket that a flow uses; several may share one."""
        port = flow.port if (flow.kind, flow.role) == ("udp", "receive") else 0
        key = flow.kind, flow.version, port
        if key not in self._sockets:
            self._sockets[key] = _open(*key)
        return self._sockets[key]

    def _send(self, flow: Flow) -> None:
        now = time.time()
        if flow.slots is None or (seq := flow.slots.take(now)) is None:
            return
        packet = Packet(run=flow.run, flow=flow.id, seq=seq, sent=now, host=flow.host)
        data, port = packet.pack(), flow.port
        if flow.kind == "icmp":
            data, port = echo_request(flow.version, seq, data), 0
        # A NIC that is down, no route, no address, no room: no packet.
        with suppress(OSError):
            self._socket(flow).sendto(data, (flow.address, port))
            flow.sent.append((seq, round(now, 6)))

    def _receive(self, key: tuple[str, int, int], channel: socket.socket) -> None:
        kind, version, _ = key
        for data, at in _received(channel):
            roles = ("receive",)
            if kind == "icmp":
                what, data = echo(version, data)
                if what == _ECHO_REPLY[version]:
                    roles = ("ping",)
                elif what != _ECHO_REQUEST[version]:
                    continue
            packet = unpack(data)
            flow = self._flows.get(packet.flow) if packet else None
            if packet and flow and flow.run == packet.run and flow.role in roles:
                seen = packet.seq, round(at, 6), round(packet.sent, 6), packet.host
                flow.received.append(seen)

    def _flush(self) -> None:
        self._flush_at = time.time() + FLUSH_S
        for flow in self._flows.values():
            self._say(flow.report())
        self._write()

    def _say(self, told: dict[str, object] | None) -> None:
        if told:
            self._output += json.dumps(told, separators=(",", ":")).encode() + b"\n"
        if len(self._output) > _OUTPUT_MAX:
            raise OSError("nobody reads what is said")

    def _write(self) -> None:
        with suppress(BlockingIOError):
            while self._output:
                del self._output[: os.write(self._stdout, self._output)]


def _check_address(address: str, version: int) -> None:
    # A name would be looked up at each send.
    try:
        socket.inet_pton(_FAMILY[version], address)
    except OSError as error:
        raise ValueError(f"address: {address!r:.80} is not one") from error


def _open(kind: str, version: int, port: int) -> socket.socket:
    if kind == "udp":
        channel = socket.socket(_FAMILY[version], socket.SOCK_DGRAM)
    else:
        protocol = socket.IPPROTO_ICMPV6 if version == 6 else socket.IPPROTO_ICMP
        channel = socket.socket(_FAMILY[version], socket.SOCK_RAW, protocol)
    channel.setblocking(False)
    channel.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    if port:
        if version == 6:
            channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Of any address: the VM may get its own later.
        channel.bind(("", port))
    return channel


def _received(channel: socket.socket) -> Iterator[tuple[bytes, float]]:
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


def _text(order: dict[str, object], key: str, *, among: tuple[str, ...] = ()) -> str:
    value = order.get(key)
    if not isinstance(value, str) or (among and value not in among):
        raise ValueError(f"{key}: expected {' or '.join(among) or 'a text'}, not {value!r:.80}")
    return value


def _number(
    order: dict[str, object], key: str, default: float, lowest: float, highest: float
) -> float:
    value = order.get(key, default)
    if not isinstance(value, int | float) or not lowest <= value <= highest:
        raise ValueError(f"{key}: expected a number from {lowest} to {highest}, not {value!r:.80}")
    return value


def _come_first() -> None:
    """Ask for the processor ahead of others: waiting for it would be taken for the network's gap.

    It works for some microseconds a packet. What the host may not grant is not needed.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def main() -> int:
    """Be the program; 0: it was told to end."""
    _come_first()
    prober = Prober(stdin=0, stdout=1, limit_s=LIMIT_S)
    wake_up, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, prober.end)
    try:
        prober.run(wake_up)
    except BrokenPipeError:
        return 0
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
