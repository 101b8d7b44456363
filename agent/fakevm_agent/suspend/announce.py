"""RARP frames that tell the switches where a VM is now, as QEMU sends them when a guest goes on."""

import socket
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from fakevm.errors import FakevmError

# QEMU's: five rounds, the first at once, the next after 50 ms, each later pause 100 ms longer
# (migration/options.c: announce-initial, -rounds, -step; net/announce.c: qemu_announce_timer_step).
TIMES = (0.0, 0.05, 0.2, 0.45, 0.8)

_ETHERTYPE = 0x8035
_FRAME_MIN = 60


def frame(mac_address: str) -> bytes:
    """Return a reverse request for the NIC's own address (net/announce.c: announce_self_create)."""
    mac, nobody = bytes.fromhex(mac_address.replace(":", "")), bytes(4)
    ethernet = b"\xff" * 6 + mac + struct.pack("!H", _ETHERTYPE)
    reverse = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 3) + mac + nobody + mac + nobody
    return (ethernet + reverse).ljust(_FRAME_MIN, b"\0")


class Announcer:
    """What is being announced, by VM, a thread each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, threading.Event] = {}

    def start(self, instance_id: str, nics: Mapping[str, str]) -> None:
        """Send the first frame of each NIC (its MAC) now, and the others in the background.

        The calling thread must be in the VM's netns.
        """
        began = time.monotonic()
        frames = [(_open(nic), frame(mac_address)) for nic, mac_address in nics.items()]
        _send(frames)
        self.stop(instance_id)
        ended = threading.Event()
        with self._lock:
            self._under_way[instance_id] = ended
        arguments = instance_id, frames, began, ended
        threading.Thread(target=self._run, args=arguments, daemon=True).start()

    def stop(self, instance_id: str) -> None:
        """Send no more for this VM; content if nothing is sent."""
        with self._lock:
            ended = self._under_way.pop(instance_id, None)
        if ended:
            # Its thread is not waited for: to close a packet socket takes the kernel some 10 ms.
            ended.set()

    def _run(
        self,
        instance_id: str,
        frames: Sequence[tuple[socket.socket, bytes]],
        began: float,
        ended: threading.Event,
    ) -> None:
        try:
            for after in TIMES[1:]:
                if ended.wait(max(0.0, began + after - time.monotonic())):
                    return
                _send(frames)
        finally:
            for channel, _ in frames:
                channel.close()
            with self._lock:
                if self._under_way.get(instance_id) is ended:
                    del self._under_way[instance_id]


def _open(nic: str) -> socket.socket:
    # Of no protocol: it receives nothing.
    channel = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        channel.bind((nic, 0))
    except OSError as error:
        channel.close()
        raise FakevmError(f"{nic}: no packet can be sent: {error}") from error
    return channel


def _send(frames: Sequence[tuple[socket.socket, bytes]]) -> None:
    for channel, data in frames:
        # A NIC that is down or gone says nothing.
        with suppress(OSError):
            channel.send(data)
