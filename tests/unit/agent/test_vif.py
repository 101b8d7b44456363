from __future__ import annotations

from typing import Any

import pytest

from fakevm.errors import ConflictError, FakevmError, UnavailableError
from fakevm.model import Vif, Vm
from fakevm_agent.vif.driver import Driver
from fakevm_agent.vif.drivers import Drivers
from fakevm_agent.vif.hybrid import Hybrid
from fakevm_agent.vif.names import bridge_name
from tests.fakes.osvif import FakeOsVif, Subject
from tests.unit.agent.values import (
    DRIVERS,
    PORT,
    make_drivers,
    make_hybrid,
    make_link,
    make_vif,
    make_vm,
)


def test_names_are_novas() -> None:
    assert DRIVERS.port_name(make_vif()) == "tap11111111-22"
    assert DRIVERS.port_name(make_hybrid()) == "qvo11111111-22"
    assert DRIVERS.port_names(PORT) == ("tap11111111-22", "qvo11111111-22")
    assert DRIVERS.devices(PORT) == ("qbr11111111-22", "qvb11111111-22")
    long = make_vif(vif_details={"bridge_name": "tbr-123456789012345"})
    assert bridge_name(long, "br-int") == "tbr-1234567890"
    assert bridge_name(make_vif(vif_details={}), "br-int") == "br-int"


@pytest.mark.parametrize("vif_type", ["binding_failed", "unbound", "hw_veb"])
def test_a_vif_that_no_driver_plugs_is_refused(vif_type: str) -> None:
    with pytest.raises(ConflictError, match=f"{PORT} can't be plugged.*{vif_type}"):
        DRIVERS.of(make_vif(vif_type=vif_type))


def test_a_vif_type_without_a_driver_is_named_with_those_that_have_one() -> None:
    with pytest.raises(ConflictError, match="but for bridge, ovs, ovs_hybrid, tap") as caught:
        DRIVERS.of(make_vif(vif_type="lane"))
    assert "fakevm.vif_drivers" in str(caught.value.hint)


class Broken(Driver):
    """A driver with a fault."""

    def plug(self, vif: Vif, vm: Vm) -> None:
        raise KeyError("bridge_name")

    def unplug(self, vif: Vif, vm: Vm) -> None:
        raise UnavailableError("no switch answers")


def test_a_driver_s_fault_is_told_as_its_own(caplog: pytest.LogCaptureFixture) -> None:
    vif, osvif = make_vif(vif_type="broken"), FakeOsVif()
    driver = Drivers({"broken": Broken(osvif)}).of(vif)  # type: ignore[arg-type]
    with pytest.raises(FakevmError, match="VIF driver broken: plug failed: KeyError: 'bridge_name"):
        driver.plug(vif, make_vm())
    assert "Traceback" in caplog.text
    with pytest.raises(UnavailableError, match="no switch answers"):
        driver.unplug(vif, make_vm())


class Careless(Broken):
    def devices(self, port_id: str) -> tuple[str, ...]:
        raise ZeroDivisionError


def test_one_driver_s_fault_is_no_other_s() -> None:
    fake: Any = FakeOsVif()
    drivers = Drivers({"careless": Careless(fake), "ovs_hybrid": Hybrid(fake)})
    assert drivers.devices(PORT) == ("qbr11111111-22", "qvb11111111-22")
    assert drivers.find(make_vif(vif_type="away")) is None


def test_a_vif_is_connected_when_it_is_in_a_bridge() -> None:
    vif = make_vif(vif_type="bridge", vif_details={})
    driver = DRIVERS.of(vif)
    assert not driver.in_open_vswitch
    assert not driver.is_connected(vif, {vif.device: make_link(vif.device)})
    assert driver.is_connected(vif, {vif.device: make_link(vif.device, master=8)})


@pytest.mark.parametrize("hybrid", [False, True])
def test_a_vif_of_another_kind_of_guest_is_refused(hybrid: bool) -> None:
    vif = (make_hybrid if hybrid else make_vif)(vnic_type="direct")
    with pytest.raises(ConflictError, match="vnic_type direct"):
        DRIVERS.of(vif).check(vif)


def test_a_device_is_a_port_of_its_bridge() -> None:
    vif, osvif = make_vif(), FakeOsVif()
    driver = make_drivers(osvif).of(vif)
    driver.plug(vif, make_vm())
    assert osvif.plugged == {Subject("Open vSwitch", "br-int", PORT): make_vm()}
    assert driver.is_connected(vif, {})
    driver.unplug(vif, make_vm())
    assert osvif.plugged == {}


def test_a_hybrid_vif_has_a_bridge_of_its_own() -> None:
    vif, osvif = make_hybrid(), FakeOsVif()
    driver = make_drivers(osvif).of(vif)
    driver.plug(vif, make_vm())
    assert osvif.plugged == {Subject("Linux bridge", "qbr11111111-22", PORT): make_vm()}
    driver.unplug(vif, make_vm())
    assert osvif.plugged == {}


def test_a_hybrid_vif_is_connected_when_all_of_it_is_there() -> None:
    vif = make_hybrid()
    bridge = make_link("qbr11111111-22", kind="bridge", index=8)
    whole = {
        link.name: link
        for link in (make_link(vif.device, master=8), bridge, make_link("qvb11111111-22"))
    }
    driver = DRIVERS.of(vif)
    assert driver.is_connected(vif, whole)
    for name in whole:
        assert not driver.is_connected(vif, {n: link for n, link in whole.items() if n != name})
    assert not driver.is_connected(vif, whole | {vif.device: make_link(vif.device)})


def test_devices_of_gone_ports_are_strays() -> None:
    links = {
        link.name: link
        for link in (
            make_link("qbr11111111-22", kind="bridge"),
            make_link("qvb11111111-22"),
            make_link("qbr99999999-99", kind="bridge"),
            # Of another kind: somebody else's.
            make_link("qvb99999999-99", kind="dummy"),
        )
    }
    assert DRIVERS.strays(frozenset({PORT}), links) == [links["qbr99999999-99"]]
