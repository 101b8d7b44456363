"""Evacuation: the VM's host is down, and the VM is built again on another one."""

from __future__ import annotations

from dataclasses import replace

from fakevm.migrate.move import (
    SETTLING,
    Move,
    announce,
    bind_by_host_id,
    withdraw,
)
from fakevm.migrate.spawn import SPAWN, UNPLUG
from fakevm.protocol.steps import Protocol, Step, Undo


def announce_and_remember(move: Move) -> None:
    """Write `migrating_to` into each port's profile, from which `bind` takes it again."""
    move.answers.update(announce(move))


def bind(move: Move) -> None:
    """Bind every port to the destination, without `migrating_to` again.

    But those that an evacuation which failed has bound there
    (nova: API._update_port_binding_for_instance).
    """
    known = [replace(nic, port=move.port(nic)) for nic in move.listed]
    elsewhere = [n for n in known if n.port.host != move.destination_name or not n.port.bound]
    bind_by_host_id(move, elsewhere, move.destination_name)


EVACUATE = Protocol(
    name="evacuate",
    steps=(
        Step(
            name="announce",
            actor="destination",
            source="neutron.API.setup_networks_on_host",
            act=announce_and_remember,
        ),
        Step(
            name="bind",
            actor="destination",
            source="neutron.API.setup_instance_network_on_host",
            act=bind,
        ),
        *SPAWN,
    ),
    after=(*SETTLING,),
    # The binding stays at the destination, as Nova leaves it: the source is down.
    rollback=(
        UNPLUG,
        Undo(
            of="announce",
            name="withdraw",
            actor="destination",
            source="fakevm: Nova leaves it in what was not bound anew",
            act=withdraw,
        ),
    ),
)
