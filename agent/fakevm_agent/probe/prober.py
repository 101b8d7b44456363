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
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress

from fakevm_agent.probe.channel import open_socket, received
from fakevm_agent.probe.flow import Flow
from fakevm_agent.probe.packet import ECHO_REPLY, ECHO_REQUEST, Packet, echo, echo_request, unpack

FLUSH_S = 0.05
LIMIT_S = 3600.0

_NICENESS = -20
_OUTPUT_MAX = 16 * 1024 * 1024
_LAST_WORDS_S = 2.0
_READ = 65536


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
            self._sockets[key] = open_socket(*key)
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
        for data, at in received(channel):
            roles = ("receive",)
            if kind == "icmp":
                what, data = echo(version, data)
                if what == ECHO_REPLY[version]:
                    roles = ("ping",)
                elif what != ECHO_REQUEST[version]:
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
