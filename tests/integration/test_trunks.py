"""Trunks: one VIF for several networks."""

from __future__ import annotations

import pytest

from tests.integration.cloud import Cloud

_TAG = 100

# In the VM: a ping of a subport's, in tagged frames of its own making. The guests' kernel need not
# have 802.1Q; it says of a frame's tag apart from the frame (packet(7), PACKET_AUXDATA).
_PING = r"""
import ipaddress, socket, struct, sys, time

mac, ip, asked, tag = bytes.fromhex(sys.argv[1].replace(":", "")), *sys.argv[2:4], int(sys.argv[4])
ip, asked = (ipaddress.ip_address(one).packed for one in (ip, asked))
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(("eth0", 0))
wire.setsockopt(263, 8, 1)
wire.settimeout(0.2)

def send(to, kind, payload):
    wire.send(to + mac + struct.pack("!HHH", 0x8100, tag, kind) + payload)

def tagged():
    # Frames that came with the tag: what follows their two addresses.
    data, more, _, _ = wire.recvmsg(2048, 64)
    for _, _, one in more:
        status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", one[:20])
        if status & 16 and tci & 4095 == tag and data[6:12] != mac:
            yield data[12:]

def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 65535)
    return ~(total + (total >> 16)) & 65535

def ask(send_it, is_answer):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        send_it()
        quiet = time.monotonic() + 0.5
        while time.monotonic() < quiet:
            try:
                for found in filter(is_answer, tagged()):
                    return found
            except TimeoutError:
                break
    sys.exit("no answer")

arp = struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + mac + ip + bytes(6) + asked
found = ask(
    lambda: send(b"\xff" * 6, 0x806, arp),
    lambda d: d[:2] == b"\x08\x06" and d[9] == 2 and d[16:20] == asked,
)
peer = found[10:16]
echo = struct.pack("!BBHHH", 8, 0, 0, 7, 1)
echo = echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
head = struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0, 64, 1, 0) + ip + asked
head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
ask(
    lambda: send(peer, 0x800, head + echo),
    lambda d: d[:2] == b"\x08\x00" and d[11] == 1 and d[14:18] == asked and d[22] == 0,
)
print("answered")
"""


@pytest.mark.nightly
def test_a_vm_speaks_with_its_subport_s_network(cloud: Cloud) -> None:
    outer, inner = cloud.network(name="outer"), cloud.network(name="inner")
    cloud.subnet(outer, "10.16.1.0/24", enable_dhcp=False)
    cloud.subnet(inner, "10.16.2.0/24", enable_dhcp=False)
    parent = cloud.port(outer)
    sub = cloud.port(inner)
    cloud.trunk(parent.id, {sub.id: _TAG})
    a = cloud.attached(parent.id, "a", "compute-1")
    beside = cloud.guest(outer, "beside", "compute-2")
    inside = cloud.guest(inner, "inside", "compute-2")
    a.ping(beside.ip)
    (ip,) = (one["ip_address"] for one in sub.fixed_ips)
    words = (sub.mac_address, ip, inside.ip, str(_TAG))
    assert "answered" in a.exec("/opt/neutron/bin/python", "-", *words, stdin=_PING)
