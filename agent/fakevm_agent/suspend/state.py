"""What a guest has in its netns: read when it is paused, given to it where it goes on.

Both run in a thread that is in the netns.
"""

import base64
import errno
import functools
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fakevm.errors import ConfigError, FakevmError
from fakevm.model import GuestNic, GuestState
from fakevm_agent.guest import folder
from fakevm_agent.kernel import netns, rtnl
from fakevm_agent.kernel.rtnl import Channel, Message
from fakevm_agent.suspend import carry, sysctls
from fakevm_agent.suspend.carry import Names

_IFLA_IFNAME, _IFLA_MTU = 3, 4
_IFF_UP = 1
_LINK = struct.Struct("=BBHiII")


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """What a netns has that the agent has just made."""

    sysctls: Mapping[str, str]
    # With some kernel modules each netns has tunnels of its own.
    links: frozenset[str]


@functools.cache
def fresh() -> Fresh:
    """Look once: it takes some milliseconds."""
    with netns.unnamed(), Channel() as channel:
        links = frozenset(map(_name, channel.dump(rtnl.GETLINK)))
        return Fresh(sysctls=sysctls.read(()), links=links)


def suspend(
    nics: Mapping[str, tuple[str, int]], *, processes: Mapping[int, str], files: Mapping[str, str]
) -> GuestState:
    """Read what the guest has, then set its NICs down: name and MTU (as plugged), by port."""
    names = {name for name, _ in nics.values()}
    values = sysctls.changed(sysctls.read(names), fresh().sysctls)
    with Channel() as channel:
        links = {_name(link): link for link in channel.dump(rtnl.GETLINK)}
        addresses = _kept(channel, rtnl.GETADDR, carry.address)
        routes = _kept(channel, rtnl.GETROUTE, carry.route)
        neighbours = _kept(channel, rtnl.GETNEIGH, carry.neighbour)
        rules = _kept(channel, rtnl.GETRULE, carry.rule)
        numbers = {name: _index(link) for name, link in links.items()}
        found = [
            GuestNic(port_id=port_id, nic=name, index=numbers[name])
            for port_id, (name, _) in nics.items()
            if name in links
        ]
        down = [(carry.link(nic.index, up=False), 0) for nic in found]
        _raise(channel.send(down), "the NICs can't be set down")
        now = time.time()
    return GuestState(
        time=now,
        processes=processes,
        not_moved=tuple(_not_moved(links, dict(nics.values()))),
        nics=tuple(found),
        addresses=_encoded(addresses),
        routes=_encoded(carry.in_order(routes)),
        neighbours=_encoded(neighbours),
        rules=_encoded(rules),
        sysctls=values,
        files=files,
    )


def resume(nics: Mapping[str, str], state: GuestState | None) -> tuple[float, list[str]]:
    """Set the NICs (names by port) up, with what the state has.

    Returns when the last one was up, and what the kernel refused, in words.
    """
    numbers = {name: socket.if_nametoindex(name) for name in nics.values()}
    up = [(carry.link(index, up=True), 0) for index in numbers.values()]
    early: list[tuple[Message, int]] = []
    late: list[tuple[Message, int]] = []
    refused: list[str] = []
    if state:
        there = _names_there(nics, numbers, state)
        renamed = {_sysctl_there(key, there): value for key, value in state.sysctls.items()}
        refused += [key.replace("/", ".") for key in sysctls.write(renamed)]
        addresses = _placed(rtnl.NEWADDR, state.addresses, there)
        early = [(m, rtnl.CREATE | rtnl.REPLACE) for m in addresses if carry.is_early(m)]
        late = [(m, rtnl.CREATE | rtnl.REPLACE) for m in addresses if not carry.is_early(m)]
        routes = _placed(rtnl.NEWROUTE, state.routes, there)
        late += [(m, rtnl.CREATE | rtnl.APPEND) for m in routes]
        neighbours = _placed(rtnl.NEWNEIGH, state.neighbours, there)
        late += [(m, rtnl.CREATE | rtnl.REPLACE) for m in neighbours]
        rules = _placed(rtnl.NEWRULE, state.rules, there)
        late += [(m, rtnl.CREATE | rtnl.EXCL) for m in rules]
    with Channel() as channel:
        answers = channel.send([*early, *up])
        now = time.time()
        _raise(answers[len(early) :], "the NICs can't be set up")
        answers = [*answers[: len(early)], *channel.send(late)]
    for (message, _), number in zip([*early, *late], answers, strict=True):
        if number not in (0, errno.EEXIST):
            refused.append(f"{carry.WORDS[message.kind]} ({os.strerror(number)})")
    return now, refused


def check(state: GuestState) -> None:
    """Raise ConfigError where a state is not one that an agent made."""
    for field, kind in (
        ("addresses", rtnl.NEWADDR),
        ("routes", rtnl.NEWROUTE),
        ("neighbours", rtnl.NEWNEIGH),
        ("rules", rtnl.NEWRULE),
    ):
        for number, text in enumerate(getattr(state, field)):
            try:
                _decoded(kind, text)
            except ValueError as error:
                raise ConfigError(f"state.{field}.{number}: {error}") from error
    for key in state.sysctls:
        if not sysctls.is_one(key):
            raise ConfigError(f"state.sysctls: {key!r:.80} is not a device's")
    for name in state.files:
        if not folder.is_carried(name):
            raise ConfigError(f"state.files: {name!r:.80} does not move with a guest")


def _kept(
    channel: Channel, kind: int, carried: Callable[[Message], Message | None]
) -> list[Message]:
    dumped = [
        message
        for family in (socket.AF_INET, socket.AF_INET6)
        for message in channel.dump(kind, family)
        # The kernel may list more than was asked for.
        if message.family == family
    ]
    return [kept for message in dumped if (kept := carried(message))]


def _not_moved(links: Mapping[str, Message], mtus: Mapping[str, int]) -> Iterable[str]:
    """Tell what the guest's user did to links: they are plugged anew."""
    for name, link in links.items():
        if name in mtus:
            (mtu,) = struct.unpack("=I", link.get(_IFLA_MTU))
            if mtu != mtus[name]:
                yield f"{name}: its MTU, {mtu}"
            if not _LINK.unpack(link.header)[4] & _IFF_UP:
                yield f"{name}: that it was down"
        elif name not in fresh().links:
            yield f"{name}: this device"


def _names_there(nics: Mapping[str, str], numbers: Mapping[str, int], state: GuestState) -> Names:
    moved = [(nic, nics[nic.port_id]) for nic in state.nics if nic.port_id in nics]
    indexes = {nic.index: numbers[name] for nic, name in moved}
    return Names(
        indexes={carry.LOOPBACK: carry.LOOPBACK, **indexes},
        names={nic.nic: name for nic, name in moved},
    )


def _sysctl_there(key: str, there: Names) -> str:
    folder, device, name = key.rsplit("/", 2)
    return f"{folder}/{there.names.get(device, device)}/{name}"


def _placed(kind: int, texts: Sequence[str], there: Names) -> list[Message]:
    decoded = [_decoded(kind, text) for text in texts]
    return [message for one in decoded if (message := carry.placed(one, there))]


def _encoded(messages: Iterable[Message]) -> tuple[str, ...]:
    return tuple(base64.b64encode(message.pack()).decode() for message in messages)


def _decoded(kind: int, text: str) -> Message:
    return rtnl.unpack(kind, base64.b64decode(text, validate=True))


def _name(link: Message) -> str:
    return link.get(_IFLA_IFNAME).rstrip(b"\0").decode(errors="replace")


def _index(link: Message) -> int:
    return int(_LINK.unpack(link.header)[3])


def _raise(numbers: Iterable[int], what: str) -> None:
    for number in numbers:
        if number:
            raise FakevmError(f"{what}: {os.strerror(number)}")
