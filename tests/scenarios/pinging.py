"""Pings that go on while something else happens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from fakevm import Vm

_UNTIL = 'until ping -n -c1 -W1 "$1"; do :; done'

# A request each tenth of a second until there is a file, and a second more.
_PING = """
ping -n -i 0.1 "$1" & until [ -e /run/enough ]; do sleep 0.1; done
sleep 1; kill -INT $!; wait $!; rm /run/enough
"""


@dataclass
class Pings:
    """What came of them, known at the end."""

    sent: int = 0
    # Numbers of requests without an answer.
    lost: list[int] = field(default_factory=list)


@contextmanager
def pinging(*pairs: tuple[Vm, str]) -> Iterator[list[Pings]]:
    """Let VMs ping an address each, ten times a second for as long as the block lasts."""
    for source, address in pairs:
        source.exec("sh", "-c", _UNTIL, "sh", address, timeout_s=15)
    results = [Pings() for _ in pairs]
    with ThreadPoolExecutor(len(pairs)) as pool:
        told = [pool.submit(one.exec, "sh", "-c", _PING, "sh", address) for one, address in pairs]
        try:
            yield results
        finally:
            for source, _ in pairs:
                source.exec("touch", "/run/enough")
    for pings, one in zip(results, told, strict=True):
        said = one.result().stdout
        pings.sent = int(re.findall(r"(\d+) packets transmitted", said)[0])
        # The last one may have been on its way.
        answered = set(map(int, re.findall(r"icmp_seq=(\d+) ttl", said)))
        pings.lost = sorted(set(range(1, pings.sent)) - answered)


def answers(source: Vm, address: str) -> bool:
    """Tell whether an address answers one ping of three."""
    said = source.exec("ping", "-n", "-c3", "-i0.2", "-W1", address)
    return " 0 received" not in said.stdout


def seen(source: Vm, address: str, target: Vm) -> str:
    """Return by which address a VM is seen that speaks by TCP to an address of another one's."""
    listen = "socat TCP-LISTEN:7000,reuseaddr SYSTEM:'echo $SOCAT_PEERADDR'"
    target.exec("sh", "-c", f"timeout 15 {listen} >/dev/null 2>&1 &")
    ask = ("socat", "-u", f"TCP:{address}:7000,connect-timeout=2,retry=20,interval=0.5", "-")
    return source.exec(*ask).stdout.strip()
