"""E: the guest's tap comes with the guest, and the guest comes when Neutron says that it may."""

from __future__ import annotations

import time

from fakevm.clients.events import Waiter
from fakevm.errors import WaitTimeoutError
from fakevm.inventory import addresses, vifs
from fakevm.migrate.live import PROFILE
from fakevm.migrate.move import MIGRATING_TO
from fakevm.model import Vif, Vm
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage
from fakevm.vms.boot import VIF_PLUGGED

# Of Nova's 300: a sound Neutron takes a second or two.
WAIT_S = 20.0

_GET = ("ovs-vsctl", "get")


def run(stage: Stage) -> Finding:
    """Plug a VIF on a live migration's destination without its device, and wait as Nova does."""
    source, destination = stage.hosts
    network = stage.network()
    port = stage.vm(network, "vm", source)
    stage.settle()
    agent = stage.lab.agent(destination)
    stage.say(f"a binding to {destination}")
    binding = stage.neutron.create_binding(
        port.id, destination, vnic_type=port.vnic_type, profile=PROFILE
    )
    ips = addresses.fixed_ips(port, network, "static")
    vif = vifs.vif(port, network, binding, ips, preserve_on_delete=False)
    vm = vifs.vm_of_port(port)
    stage.say(f"an OVS port on {destination}, without its device")
    _plug_without_device(stage, destination, vif, vm)
    waiter = stage.lab.events.waiter(port.device_id, VIF_PLUGGED, [port.id])
    stage.say(f"{MIGRATING_TO} {destination}, and waiting for {VIF_PLUGGED}")
    profile = {**port.profile, MIGRATING_TO: destination}
    stage.neutron.update_port(port.id, {"binding:profile": profile})
    seconds = _waited(stage, waiter)
    measured: dict[str, object] = {
        "ofport": stage.in_service(destination, *_GET, "Interface", vif.device, "ofport"),
        "wired_on_the_destination": stage.lab.is_wired(destination, port.id, within_s=1),
        "vif_plugged_after_s": seconds,
    }
    if seconds is not None:
        whose = (
            "the destination has wired it"
            if measured["wired_on_the_destination"]
            else "the destination has not wired it, so the event was not about it"
        )
        words = f"{VIF_PLUGGED} came after {seconds} s, though the VIF had no device; {whose}."
        return Finding(fault=False, words=words, measured=measured)
    stage.say("the device")
    agent.plug(vif, vm, paused=True)
    with_device = _waited(stage, waiter)
    measured["vif_plugged_with_device_after_s"] = with_device
    came = "not even then" if with_device is None else f"{with_device} s after it"
    words = (
        f"No {VIF_PLUGGED} came within {WAIT_S:.0f} s while the VIF had no device; with the device"
        f" it came {came}."
    )
    return Finding(fault=True, words=words, measured=measured)


def _plug_without_device(stage: Stage, host: str, vif: Vif, vm: Vm) -> None:
    """Make the OVS port as os-vif does (vif_plug_ovs/ovsdb/ovsdb_lib.py, create_ovs_vif_port)."""
    ids = {
        "iface-id": vif.port_id,
        "iface-status": "active",
        "attached-mac": vif.mac_address,
        "vm-uuid": vm.instance_id,
    }
    words = [f'external_ids:{key}="{value}"' for key, value in ids.items()]
    bridge = str(vif.vif_details["bridge_name"])
    add = ("--may-exist", "add-port", bridge, vif.device)
    stage.in_service(host, "ovs-vsctl", "--", *add, "--", "set", "Interface", vif.device, *words)


def _waited(stage: Stage, waiter: Waiter) -> float | None:
    start = time.monotonic()
    try:
        waiter.wait(min(WAIT_S, stage.timeout_s))
    except WaitTimeoutError:
        return None
    return round(time.monotonic() - start, 1)


SCENARIO = Scenario(
    name="late-tap",
    letter="E",
    title="a live migration waits for ever where the tap comes with the guest",
    shows=(
        "Without ovs_create_tap the destination's tap is made when the guest is started there, and"
        " Nova starts it only after network-vif-plugged: an L2 agent that waits for the tap lets it"
        " wait until its timeout."
    ),
    reference="LP #2069718 (ovs_create_tap), LP #2155883, LP #1933517",
    expects="Nova's wait for network-vif-plugged ends, though the VIF's device is still to come.",
    run=run,
)
