"""Every VM pings every VM, all at once: what Neutron's objects say should answer, and what does."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fakevm.clients.at_once import each
from fakevm.clients.parts import Parts
from fakevm.errors import ConflictError, FakevmError, NotFoundError, UnavailableError
from fakevm.reach import expected, read
from fakevm.reach.topology import Nic, Topology
from fakevm.vms import several
from fakevm.vms.several import Target

# fping(8): how often a silent address is asked again, since the first packets of a new path may be
# lost, and for how many milliseconds the first answer is waited for; then half as long again each.
RETRIES, ANSWER_MS = 3, 500

# Between two pings of one VM, in milliseconds: Open vSwitch has to learn of each pair.
INTERVAL_MS = 5

# VMs that ping at once.
SENDERS = 12

# How long a VM's fping may take for one address, above what it waits by itself.
_GRACE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One VM and an address of another."""

    source: str
    target: str
    address: str
    # Whether an answer came; None: nobody could ask.
    answered: bool | None
    # Whether one should; None: that is not judged.
    expected: bool | None
    # Why none should, why it is not judged, or why nobody could ask.
    why: str = ""

    @property
    def failed(self) -> bool:
        """Whether what came is not what should."""
        return self.expected is not None and self.answered is not self.expected


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """What came of it."""

    lab: str
    # By their names, in order.
    vms: tuple[str, ...]
    pairs: tuple[Pair, ...]
    seconds: float

    @property
    def failures(self) -> tuple[Pair, ...]:
        """The pairs that are not as they should be."""
        return tuple(pair for pair in self.pairs if pair.failed)


def ping(lab: Parts, refs: Sequence[str] = ()) -> Matrix:
    """Ping from each of these VMs to each other one, of all VMs if none is named."""
    start = time.monotonic()
    # Its import goes on while the hosts are asked.
    neutron = lab.neutron
    there, failures = several.all_vms(lab)
    if refs:
        there = list(dict.fromkeys(several.named(lab, there, ref) for ref in refs))
    topology = read.topology(neutron)
    sources: dict[str, Target | FakevmError] = {one.instance_id: one for one in there}
    names = {one.instance_id: one.vm_name for one in there}
    if not refs:
        missing = _missing(lab, topology, failures, known=names)
        sources |= missing
        names |= _names(lab, missing)
    if len(sources) < 2:
        raise ConflictError(
            f"for a ping two VMs are needed, and {len(sources) or 'none'} is there",
            hint="fakevm list; fakevm create-port NETWORK INSTANCE",
        )
    places = places_of(topology, names)
    ids = sorted(names, key=lambda instance_id: names[instance_id])
    found = each(lambda i: _asked(lab, i, sources[i], places), ids, workers=SENDERS)
    pairs = [
        pair
        for instance_id, answered in zip(ids, found, strict=True)
        for pair in judged(topology, instance_id, names, places, answered)
    ]
    return Matrix(
        lab=lab.name,
        vms=tuple(names[instance_id] for instance_id in ids),
        pairs=tuple(pairs),
        seconds=round(time.monotonic() - start, 1),
    )


def _missing(
    lab: Parts,
    topology: Topology,
    failures: Mapping[str, FakevmError],
    *,
    known: Collection[str],
) -> dict[str, FakevmError]:
    """Return the VMs that are bound to one of the lab's hosts, and not on it; and why."""
    hosts = {container.service for container in lab.computes}
    return {
        nic.instance_id: failures.get(nic.host) or NotFoundError(f"it is not on {nic.host}")
        for nic in topology.nics
        if nic.host in hosts and nic.instance_id not in known
    }


def _names(lab: Parts, instance_ids: Collection[str]) -> dict[str, str]:
    """Return the names of VMs that no host has, as Nova knows them."""
    if not instance_ids:
        return {}
    try:
        servers = lab.events.servers(instance_ids)
    except UnavailableError:
        servers = []
    told = {server.instance_id: server.name for server in servers}
    return {instance_id: told.get(instance_id) or instance_id for instance_id in instance_ids}


def places_of(topology: Topology, vms: Collection[str]) -> list[tuple[str, Nic]]:
    """Return the addresses of these VMs and the NICs that have them; several may have the same."""
    return [
        (address, nic)
        for nic in topology.nics
        if nic.instance_id in vms
        for address in sorted(nic.addresses)
    ]


def judged(
    topology: Topology,
    source: str,
    names: Mapping[str, str],
    places: Sequence[tuple[str, Nic]],
    answered: Collection[str] | FakevmError,
) -> Iterator[Pair]:
    """Yield what a VM's answers mean: the addresses that gave one, or why nobody could ask."""
    others = [one for one in places if one[1].instance_id != source]
    verdicts = [
        (address, nic, expected.verdict(topology, source, nic, address)) for address, nic in others
    ]
    mine = {address for address, nic in places if nic.instance_id == source}
    reached = {address for address, _, found in verdicts if found.reaches} | mine
    silent = str(answered) if isinstance(answered, FakevmError) else ""
    for address, nic, found in verdicts:
        reaches, why = found.reaches, silent or found.why
        if not reaches and address in reached:
            reaches, why = None, "another VM that it reaches has that address"
        yield Pair(
            source=names[source],
            target=names[nic.instance_id],
            address=address,
            answered=None if isinstance(answered, FakevmError) else address in answered,
            expected=reaches,
            why=why,
        )


def _asked(
    lab: Parts,
    instance_id: str,
    source: Target | FakevmError,
    places: Sequence[tuple[str, Nic]],
) -> Collection[str] | FakevmError:
    """Return the addresses that answer a VM, or why it could not ask."""
    if isinstance(source, FakevmError):
        return source
    if source.paused:
        return ConflictError("it is paused")
    addresses = sorted({address for address, nic in places if nic.instance_id != instance_id})
    options = (f"-i{INTERVAL_MS}", f"-r{RETRIES}", f"-t{ANSWER_MS}")
    argv = ("fping", "-a", *options, *addresses)
    patience = _GRACE_S + len(addresses) * INTERVAL_MS / 1000
    result = several.run_in(lab, source, argv, timeout_s=patience)
    # 1: some do not answer; 2: some have no way.
    if result.error or result.exit_code not in (0, 1, 2):
        return FakevmError(result.error or result.stderr.strip())
    return set(result.stdout.split())
