"""What the verbs of a lab take and return; what is one module's own is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fakevm import clients
from fakevm.errors import FakevmError, WaitTimeoutError

if TYPE_CHECKING:
    from fakevm.clients.events import WaitEnd, Waiter
    from fakevm.inventory.addresses import Addressing

# Nova's default (nova/conf/compute.py).
VIF_PLUGGING_TIMEOUT_S = 300.0


class GuestFailedError(FakevmError):
    """A guest did not start on its host."""


@dataclass(frozen=True, kw_only=True)
class PortRequest:
    """A port and the VM that gets it, as the user wishes them."""

    network: str
    instance: str
    host: str | None = None
    # The build fails on the first host, and is tried again on this one.
    reschedule: str | None = None
    name: str | None = None
    # Whose it is, by name or id; None: of the project that fakevm works in.
    project: str | None = None
    fixed_ips: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    port_security: bool = True
    vnic_type: str = "normal"
    addressing: Addressing = "dhcp"
    # What else of the port's, as Neutron names it.
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plugging:
    """How a VIF's plugging is waited for, as Nova's options of these names say; 0: not at all."""

    vif_plugging_timeout_s: float = VIF_PLUGGING_TIMEOUT_S
    vif_plugging_is_fatal: bool = True

    def wait(self, waiter: Waiter, host: str, warn: Callable[[str], None]) -> WaitEnd:
        """Wait for network-vif-plugged; tell how that ended, where no event is not fatal."""
        if not self.vif_plugging_timeout_s or not waiter.missing:
            return "nobody"
        deadline = time.monotonic() + self.vif_plugging_timeout_s
        going_on = "going on (--no-vif-plugging-is-fatal)"
        end: WaitEnd = "event"
        while True:
            try:
                waiter.wait(max(0.0, deadline - time.monotonic()), host=host)
            except WaitTimeoutError as error:
                if self.vif_plugging_is_fatal:
                    error.add_note(
                        f"{host}: its L2 agent has not wired the VIF, or Neutron is busy"
                    )
                    raise
                warn(f"{error}; {going_on}")
                return "timeout"
            except clients.events.EventFailedError as error:
                if self.vif_plugging_is_fatal:
                    raise
                # The others are still waited for (nova: LibvirtDriver._neutron_failed_callback).
                warn(f"{error}; {going_on}")
                end = "failed"
            else:
                return end


# Nova's defaults.
AS_NOVA = Plugging()


@dataclass(frozen=True, kw_only=True)
class HostResult:
    """What came of a request to one of several hosts."""

    host: str
    port_id: str
    changed: bool
    error: str = ""
