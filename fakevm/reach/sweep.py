"""How every VM pings every other one, so that the machine stands it: pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

# All network namespaces of a machine share one table of neighbours (gc_thresh3 of arp(7), 1024 by
# default); what does not fit into it is not sent. Hosts and other labs have some, too.
NEIGHBOURS = 700

# How long a slot takes of a sweep that has several: fping's wait for what is silent at least, and
# for each ping what it costs on two cores with the userspace datapath, where each is a new flow of
# Open vSwitch's, and a question to all VMs of the network who has the address.
SLOT_S = 1.2
PING_S = 0.0025

# fping(8): how often a silent address is asked again, since the first packets of a new path may be
# lost, and for how many milliseconds the first answer is waited for; then half as long again each.
IN_A_HURRY = ("-r2", "-t300")
PATIENTLY = ("-r3", "-t500")

# Between two pings of one VM, in milliseconds.
_INTERVAL = "-i2"

# One argument a slot. What a VM has learnt of its neighbours goes with the slot; all of them begin
# their slots at the same moments, which are counted from START in microseconds.
# Nothing is started but what is needed: of a hundred VMs' time most goes with that.
_SCRIPT = """
start=$1 slot=$2 retries=$3 wait=$4
shift 4
exec {never}<> <(:)
for addresses in "$@"; do
    left=$((start - ${EPOCHREALTIME/./}))
    printf -v seconds %d.%06d $((left / 1000000)) $((left % 1000000))
    ((left <= 0)) || read -r -t "$seconds" -u "$never" || :
    [ -z "$addresses" ] || fping -a INTERVAL $retries $wait $addresses 2>/dev/null
    [ $# = 1 ] || ip neigh flush all
    start=$((start + slot))
done
exit 0
""".replace("INTERVAL", _INTERVAL)


def slots(
    addresses: Mapping[str, Sequence[str]], *, neighbours: int = NEIGHBOURS
) -> dict[str, list[list[str]]]:
    """Return for each VM the addresses that it asks in each slot; all VMs have as many slots.

    `addresses`: of each VM. A VM and who asks it need a neighbour each for it; who asks each other
    in the same slot need no more.
    """
    vms = list(addresses)
    count = len(vms)
    cost = 2 * sum(map(len, addresses.values()))
    at_once = max(1, neighbours // max(1, cost))
    found: dict[str, list[list[str]]] = {vm: [] for vm in vms}
    for shifts in _groups(count, at_once):
        for place, vm in enumerate(vms):
            asked = (vms[(place + shift) % count] for shift in shifts)
            found[vm].append([address for other in asked for address in addresses[other]])
    return found


def spread(
    addresses: Mapping[str, Sequence[str]], *, neighbours: int = NEIGHBOURS
) -> dict[str, list[list[str]]]:
    """Return the slots of a sweep in which each VM asks these addresses alone.

    Each VM begins elsewhere in them, so that a slot has many who ask and many who are asked.
    """
    # Who asks and who is asked need a neighbour each.
    at_once = max(1, neighbours // 2)
    longest = max(map(len, addresses.values()), default=0)
    turns = [
        (vm, asked[(turn + place) % len(asked)])
        for turn in range(longest)
        for place, (vm, asked) in enumerate(addresses.items())
        if turn < len(asked)
    ]
    found: dict[str, list[list[str]]] = {vm: [] for vm in addresses}
    for first in range(0, len(turns), at_once):
        slot = of_each(turns[first : first + at_once])
        for vm, slots in found.items():
            slots.append(slot.get(vm, []))
    return found


def of_each(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the addresses that each VM asks, of pairs of both."""
    found: dict[str, list[str]] = {}
    for vm, address in pairs:
        found.setdefault(vm, []).append(address)
    return found


def slot_seconds(asked: Mapping[str, Sequence[Sequence[str]]]) -> float:
    """Return how long each slot of a sweep takes."""
    pings = sum(len(slot) for of_vm in asked.values() for slot in of_vm)
    return max(SLOT_S, PING_S * pings / max(1, *map(len, asked.values())))


def command(
    asked: Sequence[Sequence[str]],
    *,
    start: float = 0,
    slot_s: float = SLOT_S,
    options: Sequence[str] = PATIENTLY,
) -> list[str]:
    """Return what a VM runs to ask what it is to ask, from `start` on, in seconds of the epoch."""
    words = (str(round(start * 1_000_000)), str(round(slot_s * 1_000_000)), *options)
    return ["bash", "-c", _SCRIPT, "fping", *words, *(" ".join(slot) for slot in asked)]


def _groups(count: int, at_once: int) -> Iterator[list[int]]:
    """Yield the distances between who asks and who is asked; both ways are in the same group."""
    ways = [sorted({shift, count - shift}) for shift in range(1, count // 2 + 1)]
    for first in range(0, len(ways), at_once):
        yield [shift for way in ways[first : first + at_once] for shift in way]
