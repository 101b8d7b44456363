from __future__ import annotations

from dataclasses import replace

import pytest

from fakevm.errors import ConflictError
from fakevm_agent.kernel.ip import Route
from fakevm_agent.ovs.interface import find_interface
from fakevm_agent.plans.plan import (
    Present,
    default_routes,
    free_nic,
    plan,
    static_addresses,
    with_late_device,
)
from fakevm_agent.plans.steps import (
    Connect,
    MakeNetns,
    MakeNic,
    MissDevice,
    PlugPort,
    Remember,
    RemoveDevice,
    SetAddresses,
    SetNic,
    SetState,
    StartNic,
    Step,
    StopClients,
    UnplugPort,
)
from fakevm_agent.records import Owner, Record
from tests.unit.agent.values import (
    DRIVERS,
    PORT,
    make_hybrid,
    make_interface,
    make_link,
    make_present,
    make_record,
    make_vif,
    make_vm,
    static,
)


def planned(wanted: Record, present: Present) -> list[Step]:
    return plan(wanted, present, port_name=DRIVERS.port_name(wanted.vif))


def test_a_vif_of_a_new_vm_is_made_from_the_inside_out() -> None:
    record = make_record(make_vif(fixed_ips=(static("10.0.0.5"),)))
    assert planned(record, Present()) == [
        MakeNetns(),
        MakeNic(),
        StartNic(),
        SetAddresses(("10.0.0.5/24",), (), ()),
        PlugPort(new=True),
        Connect(),
        Remember(),
    ]


def test_a_whole_vif_needs_nothing() -> None:
    record = make_record(make_vif(fixed_ips=(static("10.0.0.5"),)))
    assert planned(record, make_present(record)) == []


def test_a_second_vif_comes_into_the_netns_that_is_there() -> None:
    steps = planned(make_record(nic="eth1"), Present(netns=True, nics=frozenset({"lo", "eth0"})))
    assert MakeNetns() not in steps
    assert MakeNic() in steps


def test_after_a_restart_of_the_host_the_kernels_part_is_made_again() -> None:
    record = make_record()
    lost = Present(interface=make_interface(record, ofport=-1, error="No such device"))
    assert planned(record, lost) == [MakeNetns(), MakeNic(), StartNic(), Connect()]


def test_a_port_that_has_a_lost_device_open_is_plugged_again() -> None:
    record = make_record()
    interface = make_interface(record, ofport=3)
    assert planned(record, Present(interface=interface)) == [
        UnplugPort(record, interface),
        RemoveDevice(),
        MakeNetns(),
        MakeNic(),
        StartNic(),
        PlugPort(new=True),
        Connect(),
        Remember(),
    ]


def test_a_device_without_an_owner_was_made_by_half() -> None:
    record = make_record()
    half = Present(netns=True, device=make_link(record.vif.device))
    assert planned(record, half)[:3] == [RemoveDevice(), MakeNic(), StartNic()]


def test_a_mac_and_an_mtu_are_changed_in_place() -> None:
    old = make_record()
    new = make_record(make_vif(mtu=1300))
    assert planned(new, make_present(old)) == [SetNic("fa:16:3e:00:00:01", 1300), Remember()]


def test_addresses_that_the_agent_set_go_and_others_stay() -> None:
    old = make_record(make_vif(fixed_ips=(static("10.0.0.5"), static("10.0.0.6"))))
    new = make_record(make_vif(fixed_ips=(static("10.0.0.6"), static("10.0.0.7"))))
    present = make_present(old)
    present = replace(present, addresses=present.addresses | {"192.0.2.1/24"})
    assert planned(new, present) == [
        SetAddresses(("10.0.0.7/24",), ("10.0.0.5/24",), ()),
        Remember(),
    ]


def test_an_address_that_a_client_brought_goes_with_the_client() -> None:
    by_dhcp = make_record(make_vif(fixed_ips=(replace(static("10.0.0.5"), method="dhcp"),)))
    present = make_present(by_dhcp, addresses=frozenset({"10.0.0.5/24", "10.0.0.9/24"}))
    silent = replace(by_dhcp, vif=make_vif(fixed_ips=(replace(static("10.0.0.5"), method="none"),)))
    assert planned(silent, present) == [
        StopClients(),
        SetAddresses((), ("10.0.0.5/24",), ()),
        Remember(),
    ]
    # The same address has the lease's lifetime until it is set anew.
    by_hand = replace(by_dhcp, vif=make_vif(fixed_ips=(static("10.0.0.5"),)))
    assert planned(by_hand, present) == [
        StopClients(),
        SetAddresses(("10.0.0.5/24",), ("10.0.0.5/24",), ()),
        Remember(),
    ]


def test_an_address_in_another_spelling_is_the_same() -> None:
    record = make_record(make_vif(fixed_ips=(static("2001:DB8:0::5", 64),)))
    present = make_present(record, addresses=frozenset({"2001:db8::5/64"}))
    assert planned(record, present) == []


def test_a_port_in_another_bridge_is_plugged_anew() -> None:
    old = make_record()
    new = make_record(make_vif(vif_details={"bridge_name": "br-two"}))
    steps = planned(new, make_present(old))
    assert steps[:2] == [UnplugPort(old, make_interface(old)), RemoveDevice()]
    assert steps[-3:] == [PlugPort(new=True), Connect(), Remember()]


def test_a_port_that_was_taken_away_is_made_again_alone() -> None:
    record = make_record()
    assert planned(record, make_present(record, interface=None)) == [
        PlugPort(new=True),
        Remember(),
    ]


def test_what_os_vif_made_without_a_record_is_remembered() -> None:
    record = make_record()
    interface = replace(make_interface(record), record=None)
    present = make_present(record, interface=interface)
    assert planned(record, present) == [Remember()]


def test_a_device_is_led_to_its_port_when_both_are_there() -> None:
    assert planned(make_record(make_hybrid()), Present())[-3:] == [
        PlugPort(new=True),
        Connect(),
        Remember(),
    ]


def test_what_was_between_device_and_port_is_made_again_and_the_record_kept() -> None:
    record = make_record(make_hybrid())
    lost = Present(interface=make_interface(record, ofport=-1), connected=False)
    assert planned(record, lost) == [
        MakeNetns(),
        MakeNic(),
        StartNic(),
        PlugPort(new=False),
        Connect(),
    ]


def test_a_hybrid_vif_that_becomes_plain_is_plugged_anew() -> None:
    old = make_record(make_hybrid())
    assert planned(make_record(), make_present(old))[0] == UnplugPort(old, make_interface(old))


def test_a_vif_of_another_type_is_plugged_anew() -> None:
    old = make_record(make_vif(vif_type="tap"))
    alone = make_interface(old, bridge="", ofport=None, in_open_vswitch=False)
    steps = planned(make_record(), make_present(old, interface=alone))
    assert steps[:2] == [UnplugPort(old, alone), RemoveDevice()]
    assert steps[-3:] == [PlugPort(new=True), Connect(), Remember()]


def test_a_vif_without_a_port_in_open_vswitch_has_no_bridge_there_to_be_in() -> None:
    record = make_record(make_vif(vif_type="tap"))
    alone = make_interface(record, bridge="", ofport=None, in_open_vswitch=False)
    assert planned(record, make_present(record, interface=alone)) == []


def test_what_open_vswitch_does_not_keep_is_plugged_again_with_a_new_device() -> None:
    record = make_record(make_vif(vif_type="tap"))
    alone = make_interface(record, bridge="", ofport=None, in_open_vswitch=False)
    assert planned(record, Present(interface=alone)) == [
        MakeNetns(),
        MakeNic(),
        StartNic(),
        PlugPort(new=False),
        Connect(),
    ]


def test_a_paused_vif_gets_no_address() -> None:
    vif = make_vif(fixed_ips=(static("10.0.0.5"),))
    steps = planned(make_record(vif, paused=True), Present())
    assert not any(isinstance(step, SetAddresses) for step in steps)


def test_a_resumed_vif_is_set_up_with_its_addresses() -> None:
    vif = make_vif(fixed_ips=(static("10.0.0.5"),))
    present = make_present(make_record(vif, paused=True), addresses=frozenset())
    assert planned(make_record(vif), present) == [
        SetState(up=True),
        SetAddresses(("10.0.0.5/24",), (), ()),
        Remember(),
    ]


def test_a_paused_vif_whose_port_was_taken_away_stays_down() -> None:
    """As at the source of a migration that is rolled back: its L2 agent deleted the port."""
    record = make_record(make_vif(fixed_ips=(static("10.0.0.5"),)), paused=True)
    down = make_link("eth0", mac_address="fa:16:3e:00:00:01", up=False)
    lost = make_present(record, interface=None, nic=down, addresses=frozenset())
    assert planned(record, lost) == [PlugPort(new=True), Remember()]
    assert SetState(up=True) in planned(replace(record, paused=False), lost)


def test_a_late_device_comes_after_its_port() -> None:
    vif = make_vif(fixed_ips=(static("10.0.0.5"),))
    assert with_late_device(planned(make_record(vif), Present())) == [
        MakeNetns(),
        PlugPort(new=True),
        MissDevice(),
        MakeNic(),
        StartNic(),
        SetAddresses(("10.0.0.5/24",), (), ()),
        Connect(),
        Remember(),
    ]


def test_a_device_that_is_there_can_not_be_late() -> None:
    record = make_record()
    lost = planned(record, make_present(record, interface=None))
    assert with_late_device(lost) == lost
    assert with_late_device([]) == []


def test_a_port_of_another_vm_is_refused() -> None:
    other = make_record(vm=make_vm(instance_id="00000000-0000-4000-8000-000000000000"))
    with pytest.raises(ConflictError, match=other.vm.instance_id):
        planned(make_record(), make_present(other))


def test_a_device_of_another_kind_is_refused() -> None:
    device = make_link(make_vif().device, kind="tun")
    with pytest.raises(ConflictError, match=device.name):
        planned(make_record(), Present(device=device))


def test_a_gateway_outside_the_subnet_is_on_the_link() -> None:
    inside = static("10.0.0.5", gateway_ip="10.0.0.1")
    outside = static("2001:db8::5", 64, gateway_ip="fe80::1")
    vif = make_vif(fixed_ips=(inside, outside, static("10.0.0.6", gateway_ip="10.0.0.1")))
    assert default_routes("eth2", static_addresses(vif)) == (
        Route(gateway="10.0.0.1", metric=102, onlink=False),
        Route(gateway="fe80::1", metric=102, onlink=True),
    )


def test_an_alias_says_whose_a_device_is() -> None:
    owner = Owner(port_id=PORT, instance_id="i", nic="eth0", vm_name="a name with spaces")
    assert Owner.of(make_link("tap", alias=owner.alias())) == owner


def test_an_alias_fits_the_kernel_whatever_the_name() -> None:
    owner = Owner(port_id=PORT, instance_id=PORT, nic="eth0", vm_name="日" * 300)
    alias = owner.alias()
    assert len(alias.encode()) <= 255
    found = Owner.of(make_link("tap", alias=alias))
    assert found
    assert (found.port_id, found.nic) == (PORT, "eth0")
    assert set(found.vm_name) == {"日"}


@pytest.mark.parametrize("alias", ["", "fakevm", "fakevm a b", "other a b c d"])
def test_a_device_with_another_alias_has_no_owner(alias: str) -> None:
    assert Owner.of(make_link("tap", alias=alias)) is None


def test_the_first_free_nic_is_taken() -> None:
    assert free_nic([]) == "eth0"
    assert free_nic(["lo", "eth0", "eth1"]) == "eth2"
    assert free_nic(["eth1", "eth2"]) == "eth0"


def test_an_interface_of_a_port_is_found_by_its_whole_id() -> None:
    record = make_record()
    interface = make_interface(record)
    there, names = {interface.name: interface}, DRIVERS.port_names(PORT)
    assert find_interface(there, PORT, names=names) == interface
    similar = f"{PORT[:-1]}0"
    assert find_interface(there, similar, names=names) is None
