"""What is decided of VMs, their hosts and VIFs: pure functions."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence

from fakevm.errors import ConfigError, ConflictError
from fakevm.model import FixedIp, PluggedVif, Server, Vif, Vm
from fakevm.neutron.values import Binding, Network, NeutronAgent, Port

# A VM that has a name has the same instance id each time, so that nothing needs to be remembered.
_NAMESPACE = uuid.UUID("3f6a1c1e-6d0d-5b5c-9a57-0f1d0c2b7e11")

# Nova's limit for a display name.
NAME_LEN = 255


def vm_of(instance: str) -> Vm:
    """Return the VM that a user names by its instance id or a name of his own."""
    if not instance.strip() or instance != instance.strip() or not instance.isprintable():
        raise ConfigError(f"{instance!r} is no VM's name: printable characters are expected")
    if len(instance) > NAME_LEN:
        raise ConfigError(f"a VM's name has at most {NAME_LEN} characters, not {len(instance)}")
    try:
        return Vm(instance_id=str(uuid.UUID(instance)), name=instance)
    except ValueError:
        return Vm(instance_id=str(uuid.uuid5(_NAMESPACE, instance)), name=instance)


def vm_of_port(port: Port, plugged: Iterable[PluggedVif] = (), server: Server | None = None) -> Vm:
    """Return the VM that a port belongs to; a port of none gets one of its own.

    Neutron does not know the VM's name: the host where a NIC of it is plugged does, or Nova.
    """
    instance_id = port.device_id or str(uuid.uuid5(_NAMESPACE, port.id))
    names = (one.vm_name for one in plugged if one.instance_id == instance_id)
    name = next(names, "") or (server.name if server else "") or instance_id
    return Vm(instance_id=instance_id, name=name, project_id=port.project_id)


def choose_host(instance_id: str, *, hosts: Sequence[str], ports: Iterable[Port]) -> str:
    """Return the host where a VM is, or the one with the fewest VMs for a new one."""
    vms: dict[str, set[str]] = {host: set() for host in hosts}
    for port in ports:
        if port.device_id == instance_id and port.host:
            return port.host
        if port.host in vms:
            vms[port.host].add(port.device_id)
    if not vms:
        raise ConflictError("no compute host is up and healthy", hint="fakevm status")
    return min(hosts, key=lambda host: len(vms[host]))


def vif(
    port: Port,
    network: Network,
    binding: Binding | Port,
    ips: tuple[FixedIp, ...],
    *,
    preserve_on_delete: bool,
) -> Vif:
    """Return a port as a host plugs it, with what Neutron answered for this host.

    preserve_on_delete: it was given to its VM, or nobody can tell.
    """
    return Vif(
        port_id=port.id,
        network_id=port.network_id,
        mac_address=port.mac_address,
        mtu=network.mtu,
        vif_type=binding.vif_type,
        vif_details=binding.vif_details,
        vnic_type=port.vnic_type,
        fixed_ips=ips,
        preserve_on_delete=preserve_on_delete,
    )


class BindingFailedError(ConflictError):
    """Neutron could not bind a port to a host."""


def binding_failed(port: Port, here: Collection[NeutronAgent]) -> BindingFailedError:
    """Return the error that says why a host, with these L2 agents, could not take a port."""
    failed = f"Neutron could not bind port {port.id} to {port.host}"
    if not here:
        told = f"no L2 agent of {port.host} is known to Neutron"
    else:
        told = "; ".join(f"its {agent.binary} is {agent.state}" for agent in here)
    if port.vnic_type == "normal":
        return BindingFailedError(f"{failed}: {told}", hint="fakevm status")
    return BindingFailedError(
        f"{failed}: its vnic_type is {port.vnic_type}, for which a lab has no hardware ({told})",
        hint="--vnic-type normal; fakevm status",
    )
