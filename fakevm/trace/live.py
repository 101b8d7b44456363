"""Sends real packets on a way that was followed, and counts them there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fakevm.backends.openflow import Key
from fakevm.backends.packet import Packet
from fakevm.clients.at_once import each
from fakevm.errors import FakevmError
from fakevm.neutron.values import Port
from fakevm.trace import switch
from fakevm.trace.hosts import Hosts
from fakevm.trace.switch import Switch
from fakevm.trace.values import Sent, Told

# So many are sent, one after another; each waits so long for an answer.
PACKETS = 3
_WAIT_S = 1

# What comes back of TCP is a connection or a reset, of UDP what is sent or that nobody listens.
_SEND = f"""
import socket, sys
kind, family, address, port = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
answers = 0
for _ in range({PACKETS}):
    family_ = socket.AF_INET6 if family == 6 else socket.AF_INET
    with socket.socket(family_, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as s:
        s.settimeout({_WAIT_S})
        try:
            s.connect((address, port))
            if kind == "udp":
                s.send(b"fakevm")
                s.recv(1)
            answers += 1
        except ConnectionRefusedError:
            answers += 1
        except OSError:
            pass
print(answers)
"""


def counted(
    hosts: Hosts, source: Port, packet: Packet, told: Sequence[Told]
) -> tuple[Sent, list[Told]]:
    """Send packets; return what became of them, and the hops with those that came by."""
    switches = list(hosts.known())
    before = _counts(switches)
    try:
        _, said = hosts.in_vm(source.host, source.id, *command(packet))
    except FakevmError as error:
        return Sent(packets=0, answers=0, error=str(error)), list(told)
    after = _counts(switches)
    sent = Sent(packets=PACKETS, answers=answers(packet, said))
    return sent, [with_count(one, before, after) for one in told]


def with_count(
    told: Told,
    before: Mapping[str, Mapping[Key, int]],
    after: Mapping[str, Mapping[Key, int]],
) -> Told:
    """Return a hop with the packets that its last flow has led meanwhile."""
    here, then = after.get(told.hop.host, {}), before.get(told.hop.host, {})
    known = [one for one in told.flows if one in here]
    if not known:
        return told
    moved = here[known[-1]] - then.get(known[-1], 0)
    return replace(told, hop=replace(told.hop, packets=moved))


def _counts(hosts: Sequence[Switch]) -> dict[str, dict[Key, int]]:
    return dict(zip((one.host for one in hosts), each(switch.counts, hosts), strict=True))


def command(packet: Packet) -> list[str]:
    """Return what a VM runs to send packets as this one is."""
    if packet.protocol == "icmp":
        return ["ping", "-n", "-c", str(PACKETS), "-i", "0.2", "-W", str(_WAIT_S), packet.target]
    words = (packet.protocol, str(packet.version), packet.target, str(packet.port))
    return ["python3", "-c", _SEND, *words]


def answers(packet: Packet, said: str) -> int:
    """Return how many answers there were, of what the command says."""
    if packet.protocol == "icmp":
        return sum(" bytes from " in line for line in said.splitlines())
    return int(said.strip() or 0)
