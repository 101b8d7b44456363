"""An interface of Open vSwitch, as a value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fakevm_agent.records import Record


@dataclass(frozen=True, kw_only=True)
class Interface:
    """An interface of Open vSwitch, or what stands for a VIF that has none: its record alone."""

    name: str
    bridge: str
    ofport: int | None
    error: str
    tag: int | None
    iface_id: str
    # None: os-vif made it, but the agent's record is not (yet) there.
    record: Record | None
    in_open_vswitch: bool = True


def find_interface(
    interfaces: Mapping[str, Interface], port_id: str, *, names: Iterable[str]
) -> Interface | None:
    """Return the interface of a port, which may have these names."""
    for name in names:
        found = interfaces.get(name)
        if found and found.iface_id == port_id:
            return found
    return None
