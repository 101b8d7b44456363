"""What moves with a guest, from the kernel's bytes to the kernel's bytes."""

from __future__ import annotations

import base64
import socket
import struct

import pytest

from fakevm.errors import ConfigError
from fakevm.model import GuestState
from fakevm_agent.kernel import rtnl
from fakevm_agent.kernel.rtnl import Message
from fakevm_agent.suspend import carry, state, sysctls
from fakevm_agent.suspend.carry import Names

V4, V6 = socket.AF_INET, socket.AF_INET6
THERE = Names(indexes={1: 1, 2: 9, 3: 8}, names={"eth0": "eth1", "eth1": "eth0"})


def u32(value: int) -> bytes:
    return struct.pack("=I", value)


def ip(text: str) -> bytes:
    return socket.inet_pton(V6 if ":" in text else V4, text)


def an_address(
    text: str, *, flags: int = 0x80, scope: int = 0, index: int = 2, **more: bytes
) -> Message:
    family = V6 if ":" in text else V4
    header = struct.pack("=BBBBI", family, 24, flags & 0xFF, scope, index)
    names = {"label": 3, "cacheinfo": 6}
    others = tuple((names[name], value) for name, value in more.items())
    return Message(rtnl.NEWADDR, header, ((1, ip(text)), (8, u32(flags)), *others))


def a_route(
    *attributes: tuple[int, bytes], protocol: int = 3, flags: int = 0, family: int = V4
) -> Message:
    header = struct.pack("=8BI", family, 24, 0, 0, 254, protocol, 0, 1, flags)
    return Message(rtnl.NEWROUTE, header, attributes)


def a_neighbour(state: int, *, flags: int = 0, index: int = 2) -> Message:
    header = struct.pack("=BBHiHBB", V4, 0, 0, index, state, flags, 1)
    pairs = ((1, ip("10.0.0.1")), (2, b"\2\0\0\0\0\1"), (3, bytes(16)), (4, u32(3)))
    return Message(rtnl.NEWNEIGH, header, pairs)


def a_rule(*attributes: tuple[int, bytes], flags: int = 0) -> Message:
    header = struct.pack("=8BI", V4, 0, 0, 0, 254, 0, 0, 1, flags)
    return Message(rtnl.NEWRULE, header, attributes)


@pytest.mark.parametrize(
    "message",
    [
        an_address("10.0.0.5", label=b"eth0\0"),
        a_route((1, ip("10.9.0.0")), (4, u32(2)), (0x8008, b"nested"), (5, ip("10.0.0.1"))),
        a_neighbour(4),
        a_rule((6, u32(1000)), (3, b"eth0\0")),
    ],
)
def test_a_message_is_packed_and_unpacked(message: Message) -> None:
    assert rtnl.unpack(message.kind, message.pack()) == message


def test_what_is_no_message_is_refused() -> None:
    for kind, data in ((rtnl.NEWADDR, b""), (99, bytes(40)), (rtnl.NEWADDR, bytes(12))):
        with pytest.raises(ValueError, match=r"kind|cut off"):
            rtnl.unpack(kind, data)


def test_an_attribute_is_replaced_whatever_its_upper_bits() -> None:
    message = a_route((0x8008, b"old!"), (1, b"dst!"))
    assert message.get(8) == b"old!"
    assert message.with_attribute(8, b"new!").attributes == ((1, b"dst!"), (8, b"new!"))
    assert message.without(8).attributes == ((1, b"dst!"),)
    assert message.get(77) == b""


def test_an_ipv6_address_that_moves_is_not_looked_for() -> None:
    moved = carry.address(an_address("2001:db8::5", flags=0x80 | 0x100))
    assert moved
    assert moved.get(8) == u32(0x102)
    assert moved.header[2] == 0x02


def test_an_ipv4_address_keeps_its_lifetime_where_it_has_one() -> None:
    lifetime = struct.pack("=4I", 900, 1000, 1, 1)
    moved = carry.address(an_address("10.0.0.5", flags=0x200, cacheinfo=lifetime))
    assert moved
    assert (moved.get(6), moved.get(8)) == (lifetime, u32(0x200))
    for_ever = carry.address(an_address("10.0.0.5", cacheinfo=lifetime))
    assert for_ever
    assert for_ever.get(6) == b""


@pytest.mark.parametrize(
    "message",
    [
        an_address("127.0.0.1", index=1),
        an_address("::1", index=1),
        # A duplicate of another's.
        an_address("2001:db8::5", flags=0x88),
    ],
)
def test_an_address_that_is_not_the_guests_stays(message: Message) -> None:
    assert carry.address(message) is None


def test_ipv4_and_link_local_addresses_come_before_the_link_is_up() -> None:
    assert carry.is_early(an_address("10.0.0.5"))
    assert carry.is_early(an_address("fe80::1", scope=253))
    assert not carry.is_early(an_address("2001:db8::5"))


def test_the_kernels_own_routes_stay() -> None:
    assert carry.route(a_route(protocol=2)) is None
    assert carry.route(a_route(protocol=1)) is None
    assert carry.route(a_route(flags=0x200)) is None
    assert carry.route(a_route(protocol=3))


def test_a_route_moves_without_what_the_kernel_noted() -> None:
    # Its gateway's state, its nexthop object, and the numbers of its use.
    told = a_route((4, u32(2)), (12, bytes(32)), (24, b""), (30, u32(1)), flags=4 | 16)
    assert carry.route(told) == a_route((4, u32(2)), flags=4)


def test_an_advertised_route_leaves_room_for_the_next_advertisement() -> None:
    cache = struct.pack("=IIiIIIII", 0, 0, 123_400, 0, 0, 0, 0, 0)
    told = a_route((6, u32(1024)), (12, cache), protocol=9, family=V6)
    assert carry.route(told) == a_route((23, u32(1234)), (6, u32(1025)), protocol=9, family=V6)
    again = carry.route(a_route((6, u32(1025)), protocol=9, family=V6))
    assert again
    assert again.get(6) == u32(1025)


def test_gateways_come_after_what_they_are_reached_by() -> None:
    link, gateway, hops = a_route(), a_route((5, ip("10.0.0.1"))), a_route((9, bytes(8)))
    assert carry.in_order([gateway, hops, link]) == [link, gateway, hops]


@pytest.mark.parametrize(("before", "after"), [(2, 2), (4, 4), (8, 4), (16, 4), (128, 128)])
def test_a_neighbour_whose_mac_is_known_moves(before: int, after: int) -> None:
    moved = carry.neighbour(a_neighbour(before, flags=0x80 | 0x02))
    assert moved == a_neighbour(after, flags=0x80).without(3, 4)


@pytest.mark.parametrize("unknown", [0, 1, 32, 64])
def test_a_neighbour_that_is_not_known_stays(unknown: int) -> None:
    assert carry.neighbour(a_neighbour(unknown)) is None


def test_a_rule_moves_unless_every_netns_has_it() -> None:
    assert carry.rule(a_rule()) is None
    assert carry.rule(a_rule((6, u32(32766)), (21, b"\2"))) is None
    mine = a_rule((6, u32(1000)), (18, b""), (21, b"\3"), flags=2 | 8)
    assert carry.rule(mine) == a_rule((6, u32(1000)), (21, b"\3"), flags=2)


def test_devices_are_called_as_they_are_there() -> None:
    moved = carry.placed(an_address("10.0.0.5", label=b"eth0\0"), THERE)
    assert moved
    assert struct.unpack("=I", moved.header[4:]) == (9,)
    assert moved.get(3) == b"eth1\0"
    assert carry.placed(a_neighbour(4, index=3), THERE) == a_neighbour(4, index=8)
    assert carry.placed(a_route((4, u32(2))), THERE) == a_route((4, u32(9)))
    rule = a_rule((6, u32(1)), (3, b"eth1\0"))
    assert carry.placed(rule, THERE) == a_rule((6, u32(1)), (3, b"eth0\0"))
    # A label of the user's own.
    labelled = carry.placed(an_address("10.0.0.5", label=b"eth0:x\0"), THERE)
    assert labelled
    assert labelled.get(3) == b"eth0:x\0"


def test_what_belongs_to_a_device_that_does_not_move_stays() -> None:
    assert carry.placed(an_address("10.0.0.5", index=7), THERE) is None
    assert carry.placed(a_neighbour(4, index=7), THERE) is None
    assert carry.placed(a_route((4, u32(7))), THERE) is None


def hop(index: int, gateway: str, flags: int = 0) -> bytes:
    attribute = struct.pack("=HH", 8, 5) + ip(gateway)
    return struct.pack("=HBBi", 8 + len(attribute), flags, 0, index) + attribute


def test_each_next_hop_is_placed() -> None:
    both = a_route((9, hop(2, "10.0.0.1", flags=4 | 1) + hop(3, "10.1.0.1")))
    there = a_route((9, hop(9, "10.0.0.1", flags=4) + hop(8, "10.1.0.1")))
    assert carry.placed(both, THERE) == there
    half = a_route((9, hop(7, "10.0.0.1") + hop(3, "10.1.0.1")))
    assert carry.placed(half, THERE) == a_route((9, hop(8, "10.1.0.1")))
    assert carry.placed(a_route((9, hop(7, "10.0.0.1"))), THERE) is None


def test_sysctls_that_are_as_in_a_fresh_netns_stay() -> None:
    fresh = {
        "net/ipv4/conf/all/rp_filter": "0",
        "net/ipv4/conf/default/rp_filter": "0",
        "net/ipv4/conf/all/arp_ignore": "0",
        "net/ipv4/conf/default/arp_ignore": "0",
    }
    eth0 = {"net/ipv4/conf/eth0/rp_filter": "0", "net/ipv4/conf/eth0/arp_ignore": "1"}
    assert sysctls.changed(fresh | eth0, fresh) == {"net/ipv4/conf/eth0/arp_ignore": "1"}


def test_a_sysctl_for_all_brings_each_devices_own_along() -> None:
    """For the kernel may set all devices' when `all` is written."""
    fresh = {
        "net/ipv6/conf/all/forwarding": "0",
        "net/ipv6/conf/default/forwarding": "0",
    }
    found = {**fresh, "net/ipv6/conf/all/forwarding": "1", "net/ipv6/conf/eth0/forwarding": "0"}
    changed = sysctls.changed(found, fresh)
    assert changed == found
    assert next(iter(changed)) == "net/ipv6/conf/all/forwarding"


def test_a_state_that_an_agent_made_is_taken() -> None:
    told = base64.b64encode(an_address("10.0.0.5").pack()).decode()
    state.check(
        GuestState(
            time=1.0,
            addresses=(told,),
            sysctls={"net/ipv4/conf/eth0/arp_ignore": "1"},
            files={"dhcp/dhclient.eth0.leases": "lease {}", "resolv.conf": ""},
        )
    )


@pytest.mark.parametrize(
    "wrong",
    [
        GuestState(time=1.0, addresses=("",)),
        GuestState(time=1.0, routes=("!",)),
        GuestState(time=1.0, sysctls={"net/ipv4/conf/../../kernel": "1"}),
        GuestState(time=1.0, sysctls={"kernel/hostname": "1"}),
        GuestState(time=1.0, files={"../hostname": "x"}),
        GuestState(time=1.0, files={"dhcp/../../x.leases": "x"}),
        GuestState(time=1.0, files={"dhclient.conf": "x"}),
    ],
)
def test_a_state_of_another_kind_is_refused(wrong: GuestState) -> None:
    with pytest.raises(ConfigError, match="state"):
        state.check(wrong)
