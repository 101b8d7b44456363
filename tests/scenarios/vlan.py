"""A VLAN of a VM's NIC, also where its kernel has no 802.1Q."""

from __future__ import annotations

from fakevm import Vm
from fakevm.neutron.values import Port

# A tap device whose frames go out with a tag, and get those that come with it. What the kernel
# takes off a frame it says of it apart (packet(7), PACKET_AUXDATA).
_VLAN = """
import contextlib, fcntl, os, select, socket, struct, sys
name, tag = sys.argv[1], int(sys.argv[2])
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1002))
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(("eth0", 0))
wire.setsockopt(263, 8, 1)
if os.fork():
    os._exit(0)
os.setsid()
for fd in (0, 1, 2):
    os.dup2(os.open("/dev/null", os.O_RDWR), fd)
while True:
    ready, _, _ = select.select([tap, wire], [], [])
    if tap in ready:
        frame = os.read(tap, 4096)
        wire.send(frame[:12] + struct.pack("!HH", 0x8100, tag) + frame[12:])
    if wire in ready:
        frame, extra, _, sender = wire.recvmsg(4096, 64)
        for _, _, one in extra:
            status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", one[:20])
            if sender[2] != 4 and status & 16 and tci & 4095 == tag:
                # Before it is up, it takes none.
                with contextlib.suppress(OSError):
                    os.write(tap, frame)
"""


def make(vm: Vm, tag: int, port: Port) -> None:
    """Make a VM a device for a subport, with its MAC and addresses."""
    device = f"vlan{tag}"
    vm.exec("python3", "-c", _VLAN, device, str(tag), check=True)
    vm.exec("ip", "link", "set", device, "address", port.mac_address, "mtu", "1400", check=True)
    for fixed in port.fixed_ips:
        vm.exec("ip", "addr", "add", f"{fixed.ip_address}/24", "dev", device, check=True)
    vm.exec("ip", "link", "set", device, "up", check=True)
