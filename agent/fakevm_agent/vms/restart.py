"""After a restart: VMs are made again, less those that are on other hosts by now."""

import logging
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from fakevm.errors import FakevmError
from fakevm_agent.host import view
from fakevm_agent.host.parts import Host
from fakevm_agent.kernel import netns
from fakevm_agent.plans.converge import converge, wait_until_opened
from fakevm_agent.records import Record
from fakevm_agent.suspend import state
from fakevm_agent.vms.neutron import Neutron
from fakevm_agent.vms.plug import unplug_held

LOG = logging.getLogger(__name__)

_RESTORED_SIDE_BY_SIDE = 8


def moved(host: Host, neutron: Neutron) -> Collection[str]:
    """Return the ports of VIFs that Neutron has on other hosts by now, or UnavailableError."""
    records = view.records(host.ovsdb.interfaces())
    return neutron.elsewhere(records) if records else ()


def destroy_moved(host: Host, neutron: Neutron, port_ids: Collection[str]) -> None:
    """Unplug what was evacuated while this host was away, or failed to be unplugged.

    nova: ComputeManager._destroy_evacuated_instances. A failure of one is only logged.
    """
    for port_id in port_ids:
        try:
            with host.ports.held(port_id):
                # It may have come back: it is bound before it is plugged, for which the lock
                # is needed.
                there = neutron.elsewhere([port_id]).get(port_id)
                if there and unplug_held(host, port_id):
                    LOG.info("unplugged port %s, which is on %s by now", port_id, there)
        except FakevmError as error:
            LOG.error("port %s, which is on another host by now: %s", port_id, error)


def restore(host: Host) -> None:
    """Make again what OVSDB has and the kernel has not; a failure of one is only logged."""
    for name in _leftover_folders(host):
        host.guest(name).delete()
    # Now, so that no guest that is paused has to wait for it.
    state.fresh()
    records = view.records(host.ovsdb.interfaces())
    order = sorted(records.values(), key=lambda record: (record.vm.instance_id, record.nic))
    with ThreadPoolExecutor(_RESTORED_SIDE_BY_SIDE) as pool:
        list(pool.map(lambda record: _restore(host, record), order))


def _restore(host: Host, record: Record) -> None:
    port_id = record.vif.port_id
    try:
        with host.ports.held(port_id), ExitStack() as undo:
            steps = converge(host, record, undo)
            undo.pop_all()
            if steps:
                wait_until_opened(host, record.vif)
                LOG.info("made port %s of VM %s again", port_id, record.vm.instance_id)
    except FakevmError as error:
        LOG.error("port %s of VM %s: %s", port_id, record.vm.instance_id, error)


def _leftover_folders(host: Host) -> list[str]:
    if not host.state_path.is_dir():
        return []
    return [entry.name for entry in host.state_path.iterdir() if not netns.exists(entry.name)]
