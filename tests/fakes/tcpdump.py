"""A tcpdump without packets sockets: it sees three packets, and ends when it is asked to.

python tcpdump.py COMMAND…    the command line of a point, of which -i, -w and the filter count
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import threading

# When the first packet is seen; the others come a second apart.
START = 1_700_000_000

# How often it looks whether its relay is there.
INTERVAL_S = 0.2

STATISTICS = "3 packets captured\n3 packets received by filter\n1 packet dropped by kernel\n"


def pcap(*times_ns: int, data: bytes = b"frame", order: str = "<", nano: bool = True) -> bytes:
    """Return a stream of pcap's with a packet for each time, of whose 60 bytes some were kept."""
    magic, unit = (0xA1B23C4D, 1) if nano else (0xA1B2C3D4, 1000)
    stream = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, 1)
    for time_ns in times_ns:
        seconds, rest = divmod(time_ns, 1_000_000_000)
        stream += struct.pack(order + "IIII", seconds, rest // unit, len(data), 60) + data
    return stream


def main() -> None:
    relay = os.getppid()
    argv = sys.argv[1:]
    device = argv[argv.index("-i") + 1] if "-i" in argv else "underlay"
    asked = argv[argv.index("--") + 1] if "--" in argv else ""
    if device == "missing":
        sys.exit(f"tcpdump: {device}: No such device exists (No such device exists)")
    if asked == "nonsense":
        sys.exit("tcpdump: can't parse filter expression: syntax error")
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    out = sys.stdout.buffer
    # Points differ by a thousandth, so that their packets interleave.
    times = [START * 10**9 + n * 10**9 + len(device) * 10**6 for n in range(3)]
    if "-w" in argv:
        out.write(pcap(*times, data=device.encode()))
    else:
        out.write(b"".join(b"%d.%06d IP %s\n" % (*_split(t), device.encode()) for t in times))
    out.flush()
    print(f"tcpdump: listening on {device}, link-type EN10MB", file=sys.stderr, flush=True)
    if device == "vanishes":
        sys.exit("tcpdump: pcap_loop: The interface disappeared")
    while not ended.wait(INTERVAL_S):
        if os.getppid() != relay:
            # A test has killed it, as the end of its host does: with all that runs there.
            return
    print(STATISTICS, file=sys.stderr)


def _split(time_ns: int) -> tuple[int, int]:
    return time_ns // 10**9, time_ns % 10**9 // 1000


if __name__ == "__main__":
    main()
