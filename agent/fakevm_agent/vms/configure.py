"""A VIF's addresses come into the VM, as a guest's boot brings them."""

import time
from dataclasses import replace

from fakevm.errors import ConflictError
from fakevm_agent.guest import addressing
from fakevm_agent.host.parts import Host


def configure(host: Host, port_id: str, *, timeout: float) -> list[str]:
    """Start the clients that the VIF's addresses ask for, and wait for the addresses."""
    deadline = time.monotonic() + timeout
    with host.ports.held(port_id):
        record = host.recorded(port_id)
        if record.paused:
            raise ConflictError(f"VM {record.vm.name} is paused")
        if not record.configured:
            record = replace(record, configured=True)
            host.remember([record])
        guest = host.guest(record.vm.instance_id)
        addressing.start(record, guest, host.spawner)
    # Without the lock: who unplugs need not wait.
    return addressing.wait(record, guest, timeout=timeout, deadline=deadline, stop=host.stop)
