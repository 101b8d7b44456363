"""Devices made and deleted. The only module that imports pyroute2, and imported when it is needed.

Each function opens a socket of its own: IPRoute is not thread-safe. It belongs to the namespace
that its thread is in (`netns.entered`).
"""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from fakevm.errors import FakevmError
from fakevm_agent.kernel import netns


def create_veth(
    device: str, *, peer: str, namespace: str, mac_address: str, peer_mac: str, mtu: int
) -> None:
    """Create a veth pair: `device` here, `peer` inside `namespace`."""
    with _socket(device) as ip, netns.path(namespace).open() as inside:
        # In one request, so that the peer is never seen elsewhere or with another MAC.
        ip.link(
            "add",
            ifname=device,
            kind="veth",
            address=mac_address,
            mtu=mtu,
            peer={
                "ifname": peer,
                "address": peer_mac,
                "mtu": mtu,
                "net_ns_fd": inside.fileno(),
            },
        )


def create_bridge(name: str) -> None:
    """Create a Linux bridge; content if it is there."""
    with _socket(name) as ip:
        try:
            ip.link("add", ifname=name, kind="bridge")
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise


def set_master(device: str, bridge: str) -> None:
    """Make a device a port of a Linux bridge."""
    with _socket(device) as ip:
        ip.link("set", ifname=device, master=socket.if_nametoindex(bridge))


def delete_link(device: str) -> None:
    """Delete a device; content if it is gone."""
    with _socket(device) as ip:
        try:
            ip.link("del", ifname=device)
        except NetlinkError as error:
            if error.code != errno.ENODEV:
                raise


@contextmanager
def _socket(subject: str) -> Iterator[Any]:
    try:
        with IPRoute() as ip:
            yield ip
    except (NetlinkError, OSError) as error:
        raise FakevmError(f"{subject}: the kernel refuses: {error}") from error
