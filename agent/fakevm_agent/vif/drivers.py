"""The VIF drivers of a host, found by entry point, and which of them a VIF takes."""

import importlib.metadata
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from fakevm.errors import ConflictError, FakevmError
from fakevm.model import Vif, Vm
from fakevm_agent.kernel.netlink import Link
from fakevm_agent.vif.driver import Driver

T = TypeVar("T")

LOG = logging.getLogger(__name__)

GROUP = "fakevm.vif_drivers"

# What stands in a binding's vif_type instead of a way to plug (nova/network/model.py).
_NOT_BOUND = {
    "binding_failed": (
        "Neutron could not bind it to this host",
        "see that the host's L2 agent is alive: fakevm openstack network agent list",
    ),
    "unbound": ("it is not bound to a host", "fakevm plug --host HOST PORT"),
}


class Drivers:
    """The drivers of a host, by the names of their entry points.

    That is a binding's vif_type; with ovs_hybrid_plug in its vif_details, and _hybrid
    (nova/network/os_vif_util.py).
    """

    def __init__(self, by_name: Mapping[str, Driver]) -> None:
        self._by_name = {name: _Reported(name, driver) for name, driver in by_name.items()}

    def of(self, vif: Vif) -> Driver:
        """Return the VIF's driver, or raise ConflictError where there is no way to plug it."""
        if vif.vif_type in _NOT_BOUND:
            reason, hint = _NOT_BOUND[vif.vif_type]
            raise ConflictError(
                f"port {vif.port_id} can't be plugged: {reason} (vif_type {vif.vif_type})",
                hint=hint.replace("PORT", vif.port_id),
            )
        driver = self.find(vif)
        if driver is None:
            raise ConflictError(
                f"port {vif.port_id} can't be plugged: this host has no VIF driver for vif_type"
                f" {_name(vif)}, but for {', '.join(sorted(self._by_name))}",
                hint=f"fakevm up --package ONE, which has it as an entry point of {GROUP}",
            )
        return driver

    def find(self, vif: Vif) -> Driver | None:
        """Return the VIF's driver, or None where no package that is here has it."""
        return self._by_name.get(_name(vif))

    def port_name(self, vif: Vif) -> str:
        """Return the name of the VIF's interface in Open vSwitch, or of its device."""
        return self.of(vif).port_name(vif.port_id)

    def port_names(self, port_id: str) -> tuple[str, ...]:
        """Return the names that a port's interface may have, whoever plugged it."""

        def name(driver: Driver) -> list[str]:
            return [driver.port_name(port_id)] if driver.in_open_vswitch else []

        return tuple(dict.fromkeys(self._all(name)))

    def devices(self, port_id: str) -> tuple[str, ...]:
        """Return the names of all devices that may be between a port's device and who wires it."""
        return tuple(self._all(lambda driver: driver.devices(port_id)))

    def strays(self, keep: frozenset[str], links: Mapping[str, Link]) -> list[Link]:
        """Return the devices in between that are of no port in `keep`."""
        return list(self._all(lambda driver: driver.strays(keep, links)))

    def _all(self, ask: Callable[[Driver], Iterable[T]]) -> Iterator[T]:
        """Ask all drivers; one with a fault, which is in the log, is nobody else's."""
        for driver in self._by_name.values():
            with suppress(FakevmError):
                yield from ask(driver)


def _name(vif: Vif) -> str:
    hybrid = "_hybrid" if vif.vif_details.get("ovs_hybrid_plug", False) else ""
    return f"{vif.vif_type}{hybrid}"


def load(osvif: Any) -> Drivers:
    """Return the drivers of all packages that are installed; what can't be loaded is logged."""
    found: dict[str, Driver] = {}
    for entry in importlib.metadata.entry_points(group=GROUP):
        try:
            driver = entry.load()(osvif)
        except Exception:
            LOG.exception("%s can't be loaded", entry)
            continue
        if not isinstance(driver, Driver):
            LOG.error("%s is no Driver of fakevm_agent.vif.driver", entry)
        elif entry.name in found:
            LOG.error("%s: there is another VIF driver of that name", entry)
        else:
            found[entry.name] = driver
    return Drivers(found)


class _Reported(Driver):
    """A driver whose faults are told as its own: one line to who asked, a traceback in the log."""

    def __init__(self, name: str, driver: Driver) -> None:
        self._name = name
        self._driver = driver
        self.in_open_vswitch = driver.in_open_vswitch

    def check(self, vif: Vif) -> None:
        self._do("check", self._driver.check, vif)

    def plug(self, vif: Vif, vm: Vm) -> None:
        self._do("plug", self._driver.plug, vif, vm)

    def connect(self, vif: Vif) -> None:
        self._do("connect", self._driver.connect, vif)

    def unplug(self, vif: Vif, vm: Vm) -> None:
        self._do("unplug", self._driver.unplug, vif, vm)

    def is_connected(self, vif: Vif, links: Mapping[str, Link]) -> bool:
        return bool(self._do("is_connected", self._driver.is_connected, vif, links))

    def port_name(self, port_id: str) -> str:
        return str(self._do("port_name", self._driver.port_name, port_id))

    def devices(self, port_id: str) -> tuple[str, ...]:
        return tuple(self._do("devices", self._driver.devices, port_id))

    def strays(self, keep: frozenset[str], links: Mapping[str, Link]) -> list[Link]:
        return list(self._do("strays", self._driver.strays, keep, links))

    def _do(self, name: str, act: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return act(*arguments)
        except FakevmError:
            raise
        except Exception as error:
            LOG.exception("VIF driver %s: %s failed", self._name, name)
            raise FakevmError(
                f"VIF driver {self._name}: {name} failed: {type(error).__name__}: {error}",
                hint="its traceback is in the host's log: docker logs",
            ) from error
