"""How fast a VM gets what another one sends."""

from __future__ import annotations

import json

from fakevm import Vm


def kbps(source: Vm, target: Vm, *, by: str = "", seconds: float = 2) -> float:
    """Return how much comes from a VM by TCP; `by`: its address for the other one."""
    serve = "socat -U TCP-LISTEN:7001,reuseaddr OPEN:/dev/zero"
    source.exec("sh", "-c", f"timeout 15 {serve} >/dev/null 2>&1 &")
    get = f"TCP:{by or source.addresses[0]}:7001,connect-timeout=2,retry=4,interval=0.2"
    got = target.exec("sh", "-c", f"timeout {seconds} socat -u {get} - | wc -c", check=True)
    return int(got.stdout) * 8 / 1000 / seconds


def packets(source: Vm, target: Vm, count: int) -> int:
    """Let a VM send so many packets within a second; return how many come."""
    send = (
        "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"for i in range({count}):\n"
        f"    s.sendto(b'x', ('{target.addresses[0]}', 9))\n"
        "    if i % 60 == 0: time.sleep(0.01)"
    )
    before = _received(target)
    source.exec("python3", "-c", send, check=True)
    return _received(target) - before


def _received(vm: Vm) -> int:
    (link,) = json.loads(vm.exec("ip", "-j", "-s", "link", "show", "eth0", check=True).stdout)
    return int(link["stats64"]["rx"]["packets"])
