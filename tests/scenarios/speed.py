"""How much of what one VM sends comes to another one.

By UDP: what a limit lets pass is the limit then, and not what TCP makes of its losses.
"""

from __future__ import annotations

import json

from fakevm import Vm

# What is offered where a bandwidth is measured: in kbps, and a datagram's size in bytes.
OFFERED, SIZE = 15_000, 1200

SEND = """\
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
start = time.monotonic()
for i in range({count}):
    s.sendto(bytes({size}), ("{address}", 9))
    ahead = start + i * {seconds} / {count} - time.monotonic()
    if ahead > 0.01: time.sleep(ahead)
"""


def kbps(source: Vm, target: Vm, *, seconds: float = 1.5) -> float:
    """Return how much comes; OFFERED is sent."""
    count = int(OFFERED * 1000 * seconds / 8 / SIZE)
    return _arrived(source, target, count, SIZE, seconds, "bytes") * 8 / 1000 / seconds


def packets(source: Vm, target: Vm, count: int) -> int:
    """Let a VM send so many small packets within a second; return how many come."""
    return _arrived(source, target, count, 1, 1, "packets")


def _arrived(source: Vm, target: Vm, count: int, size: int, seconds: float, counter: str) -> int:
    send = SEND.format(count=count, size=size, seconds=seconds, address=target.addresses[0])
    before = _received(target, counter)
    source.exec("python3", "-c", send, check=True)
    return _received(target, counter) - before


def _received(vm: Vm, counter: str) -> int:
    (link,) = json.loads(vm.exec("ip", "-j", "-s", "link", "show", "eth0", check=True).stdout)
    return int(link["stats64"]["rx"][counter])
