"""Programs for VMs that talk and listen by bare Ethernet frames, so that nothing else is sent."""

from __future__ import annotations

from collections.abc import Sequence

ALL = "ff:ff:ff:ff:ff:ff"

# Every 5 ms. 0x88B5 is for local experiments (IEEE 802).
_TALK = """
import socket, sys, time
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind(("eth0", 0))
while True:
    sock.send(bytes.fromhex(sys.argv[1] + sys.argv[2] + "88b5") + bytes(46))
    time.sleep(0.005)
"""

# On whatever NIC they arrive, also on one to come.
_LISTEN = """
import socket, sys, time
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
print("ready", flush=True)
while True:
    frame = sock.recv(2048)
    if frame[6:14].hex() == sys.argv[1] + "88b5":
        print(time.time(), flush=True)
"""


def talk(mac_address: str, *, to: str) -> Sequence[str]:
    """Return a program that sends frames from the VM's own MAC."""
    return ("python3", "-c", _TALK, _hex(to), _hex(mac_address))


def listen(mac_address: str) -> Sequence[str]:
    """Return a program that prints "ready", and then the time of each frame from this MAC."""
    return ("python3", "-c", _LISTEN, _hex(mac_address))


def times(lines: Sequence[str]) -> list[float]:
    """Return the times that `listen` has printed, in seconds since the epoch."""
    return [float(line) for line in lines[1:]]


def _hex(mac_address: str) -> str:
    return mac_address.replace(":", "")
