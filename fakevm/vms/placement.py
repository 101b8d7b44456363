"""On which host a VM is, or is to be."""

from __future__ import annotations

from fakevm.clients.parts import PLACE, Parts
from fakevm.errors import ConflictError
from fakevm.inventory import vifs
from fakevm.model import Vm


def host_for(lab: Parts, vm: Vm, ref: str | None, *, unshelving: bool = False) -> tuple[str, bool]:
    """Return the host for a VM's new port, and whether it has ports there by now.

    It is where the VM is, as asked, or the least busy one. ConflictError: the VM is shelved.
    """
    wanted = lab.host(ref) if ref else None
    ports = lab.neutron.ports(fields=PLACE)
    here = {p.host for p in ports if p.device_id == vm.instance_id and p.host} - {""}
    if wanted and here - {wanted}:
        raise ConflictError(
            f"VM {vm.name} is on {', '.join(sorted(here))}, not on {wanted}",
            hint=f"fakevm migrate {wanted} VIF moves all of it",
        )
    if not here and not unshelving and lab.server(vm.instance_id).shelved:
        raise ConflictError(f"VM {vm.name} is shelved", hint=f"fakevm unshelve {vm.name}")
    if wanted:
        return wanted, bool(here)
    healthy = [c.service for c in lab.computes if c.running and c.health != "unhealthy"]
    compute_ports = (p for p in ports if p.device_owner.startswith("compute:"))
    host = vifs.choose_host(vm.instance_id, hosts=healthy, ports=compute_ports)
    if not here:
        lab.say(f"host: {host}")
    return host, bool(here)
