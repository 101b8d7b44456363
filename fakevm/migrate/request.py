"""A migration as the user wishes it, and the protocol that it follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import get_args

from fakevm.errors import ConfigError
from fakevm.migrate import cold, evacuate, live
from fakevm.migrate.move import Move, Switches
from fakevm.protocol.steps import Faults, Protocol
from fakevm.reports.migration import MoveKind


@dataclass(frozen=True, kw_only=True)
class MigrationRequest:
    """A migration as the user wishes it."""

    # "": of a revert, where the VM came from.
    destination: str
    source: str | None = None
    kind: MoveKind = "live"
    post_copy: bool = False
    # A cold one: at once, or else the user confirms or reverts it.
    confirm: bool = True
    # Evacuate although the source is up.
    force: bool = False
    switches: Switches = field(default_factory=Switches)
    faults: Faults = field(default_factory=Faults)
    # Ports of VMs that probe, or "dhcp"; packets a second for each flow.
    probes: Sequence[str] = ()
    rate: float = 100.0
    # How long they may take to hear from each other before it begins; None: as `timeout_s`.
    probe_s: float | None = None
    # Also without probes: ask for the ports' status all the time.
    watch: bool = False
    # How long a port may take to become ACTIVE, and the guest to get its addresses.
    timeout_s: float = 60.0


def protocol(kind: MoveKind, *, post_copy: bool = False, confirm: bool = True) -> Protocol[Move]:
    """Return the steps of a kind of migration."""
    if kind not in get_args(MoveKind):
        raise ConfigError(f"{kind!r} is no kind of migration: {', '.join(get_args(MoveKind))}")
    if post_copy and kind != "live":
        raise ConfigError(f"--post-copy is a way to live-migrate, not to {kind}")
    if not confirm and kind != "cold":
        raise ConfigError(f"--no-confirm is for a cold migration, not to {kind}")
    match kind:
        case "live":
            return live.POST_COPY if post_copy else live.PRE_COPY
        case "cold":
            return cold.COLD if confirm else cold.UNCONFIRMED
        case "revert":
            return cold.REVERT
        case "evacuate":
            return evacuate.EVACUATE
