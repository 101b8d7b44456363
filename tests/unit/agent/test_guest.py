from __future__ import annotations

from pathlib import Path

import pytest

from fakevm_agent.guest.folder import DhcpClient, Guest, hostname
from fakevm_agent.host.view import Inside, describe
from fakevm_agent.records import owner_of
from tests.unit.agent.values import (
    INSTANCE,
    make_interface,
    make_link,
    make_present,
    make_record,
    make_vm,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web-1", "web-1"),
        ("Web Server_1", "web-server-1"),
        ("$(id)", "id"),
        ("-a-", "a"),
        ("x" * 300, "x" * 63),
        ("x" * 62 + "--y", "x" * 62),
        ("日本", "vm-aaaaaaaa"),
        ("", "vm-aaaaaaaa"),
    ],
)
def test_a_name_is_made_a_hosts_name(name: str, expected: str) -> None:
    assert hostname(make_vm(name=name)) == expected


def test_a_folder_is_made_anew(tmp_path: Path) -> None:
    guest = Guest(instance_id=INSTANCE, directory=tmp_path / INSTANCE)
    guest.create(make_vm(name="one"))
    old = guest.directory / "run" / "dhclient.pid"
    old.write_text("1")
    guest.create(make_vm(name="two"))
    assert guest.hostname() == "two"
    assert not old.exists()
    assert all(source.exists() for source, _ in guest.files())
    guest.delete()
    guest.delete()
    assert not guest.directory.exists()


def test_run_hides_the_folder_so_it_is_mounted_last() -> None:
    guest = Guest(instance_id=INSTANCE, directory=Path("/run/fakevm/vms/x"))
    assert guest.files()[-1][1] == "/run"


def test_two_clients_of_a_vm_share_no_file() -> None:
    clients = [DhcpClient(nic=nic, version=v) for nic in ("eth0", "eth1") for v in (4, 6)]
    assert len({client.name for client in clients}) == 4
    assert clients[0].command()[-1] == "eth0"


def test_a_dhcpv6_client_is_known_by_its_mac_alone() -> None:
    four, six = (" ".join(DhcpClient(nic="eth0", version=v).command()) for v in (4, 6))
    assert "-D LL" in six
    assert "-D" not in four.split()


def test_leases_and_resolver_move_to_the_nic_of_another_name(tmp_path: Path) -> None:
    there, here = (
        Guest(instance_id=INSTANCE, directory=tmp_path / name) for name in ("there", "here")
    )
    for guest in (there, here):
        guest.create(make_vm())
    (there.directory / "resolv.conf").write_text("nameserver 10.0.0.53\n")
    for nic in ("eth0", "eth1"):
        lease = f'lease {{\n  interface "{nic}";\n}}\n'
        (there.directory / f"dhcp/dhclient.{nic}.leases").write_text(lease)
    (there.directory / "dhcp/dhclient.leases").write_text('lease { interface "eth1"; }')
    here.take_over(there.carried(), nics={"eth0": "eth1", "eth1": "eth0"})
    moved = here.carried()
    assert moved["resolv.conf"] == "nameserver 10.0.0.53\n"
    assert 'interface "eth0";' in moved["dhcp/dhclient.eth0.leases"]
    assert 'interface "eth1";' in moved["dhcp/dhclient.eth1.leases"]
    assert moved["dhcp/dhclient.leases"] == 'lease { interface "eth0"; }'
    assert len(moved) == 4


def test_a_guest_without_leases_brings_nothing(tmp_path: Path) -> None:
    guest = Guest(instance_id=INSTANCE, directory=tmp_path)
    guest.create(make_vm())
    assert guest.carried() == {}


RECORD = make_record()
INTERFACE = make_interface(RECORD, tag=3)
DEVICE = make_present(RECORD).device
INSIDE = Inside(
    exists=True,
    nics={"eth0": make_link("eth0", mac_address="fa:16:3e:00:00:01")},
    addresses={"eth0": ("10.0.0.5/24",)},
)


def test_a_whole_vif_is_described_without_an_error() -> None:
    found = describe(owner_of(RECORD), device=DEVICE, interface=INTERFACE, inside=INSIDE)
    assert (found.error, found.ofport, found.vlan_tag) == ("", 1, 3)
    assert found.addresses == ("10.0.0.5/24",)


def test_what_is_missing_is_the_error() -> None:
    owner = owner_of(RECORD)
    gone = describe(owner, device=None, interface=INTERFACE, inside=Inside())
    assert "netns" in gone.error
    assert gone.ofport is None
    device = describe(owner, device=None, interface=INTERFACE, inside=INSIDE)
    assert RECORD.vif.device in device.error
    port = describe(owner, device=DEVICE, interface=None, inside=INSIDE)
    assert "no port" in port.error
    assert port.mac_address == "fa:16:3e:00:00:01"
