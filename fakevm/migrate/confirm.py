"""A cold migration that was left unconfirmed is confirmed: there is no way back any more."""

from __future__ import annotations

from typing import cast

from fakevm.clients.agents import Agent
from fakevm.clients.parts import Parts
from fakevm.errors import ConflictError, NotFoundError, UnavailableError
from fakevm.inventory import vifs
from fakevm.migrate.checked import move_of
from fakevm.migrate.cold import CONFIRM
from fakevm.migrate.move import Host
from fakevm.neutron.values import Port
from fakevm.protocol.journal import Journal, note
from fakevm.protocol.lock import exclusive_vm
from fakevm.protocol.steps import Protocol, carry_out

_CONFIRM = Protocol(name="confirm", steps=(CONFIRM,))


def confirm(lab: Parts, port: Port) -> str:
    """Confirm the cold migration of the VM that has a port; return where it came from.

    nova: ComputeManager.confirm_resize, on the source.
    """
    with exclusive_vm(lab.home, port.device_id or port.id):
        return confirm_alone(lab, port)


def confirm_alone(lab: Parts, port: Port) -> str:
    """Confirm it; nobody else changes the VM meanwhile."""
    server = lab.events.server(port.device_id or port.id)
    came_from = server.unconfirmed_from(port.host)
    if not came_from:
        raise ConflictError(
            f"VM {server.name or server.instance_id} has no cold migration that is not confirmed",
            hint="fakevm migrate --cold --no-confirm DST VIF begins one",
        )
    ports = lab.neutron.ports(device_id=server.instance_id)
    source: Agent | None = None
    try:
        source = lab.agent(came_from)
    except (NotFoundError, UnavailableError) as error:
        lab.say(f"{error}: nothing is unplugged there")
    move = move_of(
        *(lab, ports, {}, server),
        vm=vifs.vm_of_port(port, (), server),
        source=(came_from, source),
        # It takes no part.
        destination=(port.host, cast(Host, source)),
    )
    carry_out(_CONFIRM, move, Journal(say=lab.say, tell=note(lab.events, server.instance_id)))
    lab.events.register(server.instance_id, resized_from="")
    return came_from
