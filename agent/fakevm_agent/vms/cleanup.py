"""What is left in this host of ports that are gone is removed."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from fakevm.errors import attempt_each, raise_all
from fakevm_agent import kernel
from fakevm_agent.host import view
from fakevm_agent.host.parts import Host
from fakevm_agent.host.vm import remove_vm_if_empty
from fakevm_agent.kernel import netlink, netns, processes
from fakevm_agent.records import owner_of
from fakevm_agent.vms.leftover import Leftover, left_over
from fakevm_agent.vms.plug import unplug


def cleanup(
    host: Host, keep: frozenset[str], *, only: frozenset[str] | None, dry_run: bool
) -> list[Leftover]:
    """Remove what is left of ports that are not in `keep`; return what it is.

    With `only`, what belongs to other ports than these is left alone.
    """
    links, interfaces = netlink.links(), host.ovsdb.interfaces()
    records = view.records(interfaces)
    owners = {port: owner_of(record) for port, record in records.items()}
    owners |= view.owners(links)
    if only is not None:
        known = owners.keys() | {interface.iface_id for interface in interfaces.values()}
        keep |= known - only
    found = left_over(
        keep,
        links=links,
        strays=host.drivers.strays(keep, links),
        interfaces=interfaces,
        owners=owners,
        instances=dict(_instances()),
    )
    if not dry_run:
        _remove(host, found)
    return found


def _instances() -> Iterator[tuple[str, dict[int, str]]]:
    """Yield each VM that there is with what runs in it."""
    for name in view.instances():
        # One that is deleted while we look.
        with suppress(FileNotFoundError):
            yield name, processes.inside(netns.identity(name))


def _remove(host: Host, found: Sequence[Leftover]) -> None:
    ports = sorted({item.port_id for item in found if item.port_id})
    _, failures = attempt_each(ports, lambda port_id: unplug(host, port_id))
    for item in found:
        # What an unplug did not take along: it had no record, or was made by half.
        match item.kind:
            case "interface":
                host.ovsdb.delete_port(item.name)
            case "device" | "bridge":
                kernel.devices.delete_link(item.name)
            case "netns":
                remove_vm_if_empty(host, item.name)
    raise_all(failures)
