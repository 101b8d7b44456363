"""A point's tcpdump: how it is started, and what it says of itself: pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fakevm.capture.pcapng import SNAPLEN
from fakevm.capture.points import Point
from fakevm.errors import ConfigError, FakevmError, NotFoundError

# What all points together may hold for us in the kernel, and one of them at most and at least.
_ALL_KIB = 64 * 1024
_MOST_KIB = 16 * 1024
_LEAST_KIB = 1024

# $1 is a namespace's name, or how the only one begins; the rest is tcpdump's.
_IN_NAMESPACE = """
only() { [ $# = 1 ] && [ -e "$1" ] && echo "${1##*/}"; }
netns=$(only /run/netns/"$1" || only /run/netns/"$1"*) ||
    { echo "no network namespace begins with $1, or several do" >&2; exit 1; }
shift
exec ip netns exec "$netns" tcpdump "$@"
"""

# The host knows its NIC on the underlay (host-init).
_UNDERLAY = 'read -r nic _ </run/fakevm/underlay; exec tcpdump -i "$nic" "$@"'

_LISTENING = re.compile(r"^(?:tcpdump: )?listening on ", re.MULTILINE)
_COUNT = re.compile(r"^(\d+) packets? (received by filter|dropped by kernel)", re.MULTILINE)
_WORDS = re.compile(
    r"^tcpdump: (?!listening on |verbose output |WARNING|data link )(.*)", re.MULTILINE
)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What the kernel counted; None: nobody could say."""

    received: int | None = None
    dropped: int | None = None


def command(point: Point, *, bpf: str, words: bool, points: int) -> list[str]:
    """Return the command that captures at a point; in words, or in pcap.

    `points`: how many there are, since each has memory of the kernel's. Packets are handed on at
    once, where otherwise the kernel gathers them for up to a second.
    """
    options = ["-Z", "root", "-n", "--immediate-mode", "-s", str(SNAPLEN)]
    options += ["-B", str(max(_LEAST_KIB, min(_MOST_KIB, _ALL_KIB // max(1, points))))]
    options += ["-l", "-tt"] if words else ["-U", "--time-stamp-precision=nano", "-w", "-"]
    asked = ["--", bpf] if bpf else []
    if point.netns:
        device = ["-i", point.device]
        return ["sh", "-c", _IN_NAMESPACE, "-", point.netns, *device, *options, *asked]
    if point.device:
        return ["tcpdump", "-i", point.device, *options, *asked]
    return ["sh", "-c", _UNDERLAY, "-", *options, *asked]


def is_listening(said: str) -> bool:
    """Tell by its stderr whether it captures."""
    return bool(_LISTENING.search(said))


def counted(said: str) -> Counted:
    """Return what it counted, of its last words."""
    found = {what: int(count) for count, what in _COUNT.findall(said)}
    return Counted(received=found.get("received by filter"), dropped=found.get("dropped by kernel"))


def complaint(said: str) -> str:
    """Return what it complains of; "": of nothing."""
    return "; ".join(_WORDS.findall(said)) or ("" if is_listening(said) else said.strip())


def failure(point: Point, said: str, *, bpf: str) -> FakevmError:
    """Return the error that it did not begin."""
    words = complaint(said) or "it ended at once"
    if "No such device" in words:
        return NotFoundError(
            f"{point.name}: there is no device {point.device!r} of the kernel's; a patch or tunnel"
            " port is Open vSwitch's own",
            hint=f"fakevm capture {point.host} shows tunnels",
        )
    if "namespace" in words:
        return NotFoundError(f"{point.name}: {words}")
    if "not up" in words:
        return FakevmError(
            f"{point.name}: {words.removeprefix(f'{point.device}: ')}",
            hint="a bridge's own device has none of its ports' packets: they have devices, too,"
            f" as {point.host}:tap…",
        )
    if bpf and not words.startswith(f"{point.device}: "):
        return ConfigError(f"--filter {bpf!r}: {words}")
    return FakevmError(f"{point.name}: {words}")
