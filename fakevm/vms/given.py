"""Which of its ports a VM was given, and which were made for it: Nova's cache of its VIFs.

A VIF's host has it, too (os-vif's `preserve_on_delete`), until it is unplugged there.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from fakevm.clients.parts import Parts
from fakevm.errors import UnavailableError
from fakevm.model import PluggedVif, Server


def is_given(server: Server, port_id: str) -> bool:
    """Tell whether a port was given to its VM, or may have been: what is unbound can be deleted."""
    return port_id not in server.nics or port_id in server.given


def with_nic(server: Server, port_id: str, *, given: bool) -> Server:
    """Return what Nova has of a server that gets a NIC, its last one."""
    nics = (*(one for one in server.nics if one != port_id), port_id)
    others = tuple(one for one in server.given if one != port_id)
    return replace(server, nics=nics, given=(*others, port_id) if given else others)


def place(server: Server, port_id: str) -> int:
    """Return a NIC's place among a server's, as they were plugged; unknown ones are the last."""
    return server.nics.index(port_id) if port_id in server.nics else len(server.nics)


def noted(lab: Parts, server: Server, plugged: Iterable[PluggedVif], *, host: str) -> Server:
    """Have Nova know what the VM's host has of its NICs, and return what it knows then.

    Before they are unplugged: what fails after it is done again, and the host can't tell any more.
    """
    found = server
    for one in plugged:
        if one.port_id not in found.nics or one.preserve_on_delete != is_given(found, one.port_id):
            found = with_nic(found, one.port_id, given=one.preserve_on_delete)
    if found != server:
        with suppress(UnavailableError):
            lab.events.register(found.instance_id, host=host, nics=found.nics, given=found.given)
    return found
