"""Values that the agent's tests start from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fakevm.model import FixedIp, Vif, Vm
from fakevm_agent.kernel.netlink import Link
from fakevm_agent.ovs.interface import Interface
from fakevm_agent.plans.plan import Present
from fakevm_agent.records import Owner, Record
from fakevm_agent.vif.bridge import Bridge
from fakevm_agent.vif.drivers import Drivers
from fakevm_agent.vif.hybrid import Hybrid
from fakevm_agent.vif.ovs import Ovs
from fakevm_agent.vif.tap import Tap
from tests.fakes.osvif import FakeOsVif

PORT = "11111111-2222-4333-8444-555555555555"
INSTANCE = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


def make_drivers(osvif: FakeOsVif) -> Drivers:
    # It has what a driver uses of the real one, which needs os-vif.
    fake: Any = osvif
    return Drivers(
        {"ovs": Ovs(fake), "ovs_hybrid": Hybrid(fake), "bridge": Bridge(fake), "tap": Tap(fake)}
    )


DRIVERS = make_drivers(FakeOsVif())


def make_vif(**values: Any) -> Vif:
    defaults: dict[str, Any] = {
        "port_id": PORT,
        "network_id": "99999999-8888-4777-8666-555555555555",
        "mac_address": "fa:16:3e:00:00:01",
        "mtu": 1442,
        "vif_type": "ovs",
        "vif_details": {"bridge_name": "br-int", "datapath_type": "netdev"},
    }
    return Vif(**{**defaults, **values})


def make_hybrid(**values: Any) -> Vif:
    return make_vif(vif_details={"bridge_name": "br-int", "ovs_hybrid_plug": True}, **values)


def static(address: str, prefix_len: int = 24, **values: Any) -> FixedIp:
    fixed = FixedIp(ip_address=address, prefix_len=prefix_len, subnet_id="s", method="static")
    return replace(fixed, **values)


def make_vm(**values: Any) -> Vm:
    return Vm(**{"instance_id": INSTANCE, "name": "vm", **values})


def make_record(vif: Vif | None = None, vm: Vm | None = None, **values: Any) -> Record:
    return Record(**{"vif": vif or make_vif(), "vm": vm or make_vm(), "nic": "eth0", **values})


def make_link(name: str, **values: Any) -> Link:
    defaults: dict[str, Any] = {
        "kind": "veth",
        "mac_address": "fe:16:3e:00:00:01",
        "mtu": 1442,
        "up": True,
        "index": 7,
    }
    return Link(name=name, **{**defaults, **values})


def make_interface(record: Record, **values: Any) -> Interface:
    defaults: dict[str, Any] = {
        "name": DRIVERS.port_name(record.vif),
        "bridge": "br-int",
        "ofport": 1,
        "error": "",
        "tag": None,
        "iface_id": record.vif.port_id,
        "record": record,
    }
    return Interface(**{**defaults, **values})


def make_present(record: Record, **values: Any) -> Present:
    """Make what a host has when all of a record is there."""
    owner = Owner(
        port_id=record.vif.port_id,
        instance_id=record.vm.instance_id,
        nic=record.nic,
        vm_name=record.vm.name,
    )
    defaults: dict[str, Any] = {
        "netns": True,
        "nics": frozenset({"lo", record.nic}),
        "device": make_link(record.vif.device, alias=owner.alias()),
        "nic": make_link(
            record.nic, mac_address=record.vif.mac_address, mtu=record.vif.mtu, index=2
        ),
        "addresses": frozenset(
            f"{fixed.ip_address}/{fixed.prefix_len}" for fixed in record.vif.fixed_ips
        ),
        "interface": make_interface(record),
    }
    return Present(**{**defaults, **values})
