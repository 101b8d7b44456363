"""Every VM pings every VM, all at once: what Neutron's objects say should answer, and what does."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from fakevm.clients.at_once import each
from fakevm.clients.parts import Parts
from fakevm.errors import ConflictError, FakevmError, NotFoundError
from fakevm.inventory import overview, several
from fakevm.inventory.lookup import Lookup
from fakevm.inventory.several import Target
from fakevm.reach import expected, read, sweep
from fakevm.reach.expected import Verdict
from fakevm.reach.topology import Nic, Topology

# Of what is silent against what should be so much is asked again first, by so many VMs at once: if
# all of it stays silent, so does the rest.
SAMPLE = 200
SAMPLE_AT_ONCE = 8

# How many times as slowly the rest is asked then, since the machine is slower than thought.
SLOWER = (2, 4, 8)

# How long VMs may take to begin, each, and a sweep above what it takes by itself.
BEGIN_S = 0.03
GRACE_S = 60.0


# An address, the NIC that has it, and whether it should answer.
Expected = tuple[str, Nic, Verdict]

# Networks may have the same addresses.
OF_ANOTHER = Verdict(reaches=None, why="another VM that it reaches has that address")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One VM and an address of another."""

    source: str
    source_id: str
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


def ping(lab: Lookup, refs: Sequence[str] = ()) -> Matrix:
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
        names |= {i: i for i in missing} | overview.names_of(lab, missing)
    if len(sources) < 2:
        raise ConflictError(
            f"for a ping two VMs are needed, and {len(sources) or 'none'} is there",
            hint="fakevm list; fakevm create-port NETWORK INSTANCE",
        )
    places = places_of(topology, names)
    ids = sorted(names, key=lambda instance_id: names[instance_id])
    with ThreadPoolExecutor(1) as pool:
        # The engine is asked while the VMs ask each other.
        known = pool.submit(_with_the_backends_part, lab, topology)
        asked = sweep.slots(_addresses(ids, places))
        answers = _swept(lab, {i: sources[i] for i in ids}, asked)
    topology = known.result()
    verdicts = {i: verdicts_of(topology, i, places) for i in ids}

    def pairs() -> list[Pair]:
        return [pair for i in ids for pair in judged(i, names, verdicts[i], answers[i])]

    found = pairs()
    for slower in SLOWER:
        if not _ask_again(lab, sources, found, answers, slower=slower):
            break
        found = pairs()
    return Matrix(
        lab=lab.name,
        vms=tuple(names[instance_id] for instance_id in ids),
        pairs=tuple(found),
        seconds=round(time.monotonic() - start, 1),
    )


def _with_the_backends_part(lab: Parts, topology: Topology) -> Topology:
    """Return it with what of reaching is not Neutron's objects', but its backend's."""
    backend, options = lab.backend, lab.options
    return replace(
        topology,
        filtered=backend.filters(options),
        stateless=topology.stateless if backend.has_stateless(options) else frozenset(),
        dhcp_agents=backend.dhcp_agents,
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


def places_of(topology: Topology, vms: Collection[str]) -> list[tuple[str, Nic]]:
    """Return the addresses of these VMs and the NICs that have them; several may have the same."""
    return [
        (address, nic)
        for nic in topology.nics
        if nic.instance_id in vms
        for address in sorted(nic.addresses)
    ]


def verdicts_of(
    topology: Topology, source: str, places: Sequence[tuple[str, Nic]]
) -> list[Expected]:
    """Return what should come of each address of other VMs, if this one asks it."""
    found = [
        (address, nic, expected.verdict(topology, source, nic, address))
        for address, nic in places
        if nic.instance_id != source
    ]
    mine = {address for address, nic in places if nic.instance_id == source}
    reached = {address for address, _, verdict in found if verdict.reaches} | mine
    return [
        (address, nic, OF_ANOTHER if not verdict.reaches and address in reached else verdict)
        for address, nic, verdict in found
    ]


def judged(
    source: str,
    names: Mapping[str, str],
    verdicts: Sequence[Expected],
    answered: Collection[str] | FakevmError,
) -> Iterator[Pair]:
    """Yield what a VM's answers mean: the addresses that gave one, or why nobody could ask."""
    silent = str(answered) if isinstance(answered, FakevmError) else ""
    for address, nic, verdict in verdicts:
        yield Pair(
            source=names[source],
            source_id=source,
            target=names[nic.instance_id],
            address=address,
            answered=None if isinstance(answered, FakevmError) else address in answered,
            expected=verdict.reaches,
            why=verdict.why if verdict is OF_ANOTHER else silent or verdict.why,
        )


def _addresses(ids: Sequence[str], places: Sequence[tuple[str, Nic]]) -> dict[str, list[str]]:
    return {i: sorted({a for a, nic in places if nic.instance_id == i}) for i in ids}


def _swept(
    lab: Parts,
    sources: Mapping[str, Target | FakevmError],
    asked: Mapping[str, Sequence[Sequence[str]]],
    *,
    slower: int = 1,
) -> dict[str, set[str] | FakevmError]:
    """Let VMs ask others, slot by slot; return the addresses that answered each, or why not."""
    slots = len(next(iter(asked.values())))
    slot_s = sweep.slot_seconds(asked) * slower
    start, options = 0.0, sweep.PATIENTLY
    if slots > 1:
        start, options = time.time() + BEGIN_S * len(asked), sweep.IN_A_HURRY
    commands = {
        i: sweep.command(of_vm, start=start, slot_s=slot_s, options=options)
        for i, of_vm in asked.items()
    }
    timeout_s = GRACE_S + slots * slot_s
    return _each_asked(lab, sources, commands, timeout_s=timeout_s, workers=len(commands))


def _ask_again(
    lab: Parts,
    sources: Mapping[str, Target | FakevmError],
    pairs: Sequence[Pair],
    answers: dict[str, set[str] | FakevmError],
    *,
    slower: int,
) -> bool:
    """Ask again what is silent against what should be; tell whether some of it answered now."""
    silent = [(p.source_id, p.address) for p in pairs if p.failed and p.answered is False]
    sample = silent[:: len(silent) // SAMPLE + 1]
    if not _ask_patiently(lab, sources, sweep.of_each(sample), answers):
        return False
    sampled = set(sample)
    rest = sweep.spread(sweep.of_each([pair for pair in silent if pair not in sampled]))
    if rest:
        _add(answers, _swept(lab, sources, rest, slower=slower))
    return True


def _ask_patiently(
    lab: Parts,
    sources: Mapping[str, Target | FakevmError],
    addresses: Mapping[str, Sequence[str]],
    answers: dict[str, set[str] | FakevmError],
) -> bool:
    """Ask these of each VM, a few VMs at once; tell whether anything answered."""
    commands = {i: sweep.command([of_vm]) for i, of_vm in addresses.items()}
    more = _each_asked(lab, sources, commands, timeout_s=GRACE_S, workers=SAMPLE_AT_ONCE)
    _add(answers, more)
    return any(answer for answer in more.values() if isinstance(answer, set))


def _add(
    answers: dict[str, set[str] | FakevmError], more: Mapping[str, set[str] | FakevmError]
) -> None:
    for instance_id, answered in more.items():
        before = answers[instance_id]
        if isinstance(before, set) and isinstance(answered, set):
            answers[instance_id] = before | answered


def _each_asked(
    lab: Parts,
    sources: Mapping[str, Target | FakevmError],
    commands: Mapping[str, Sequence[str]],
    *,
    timeout_s: float,
    workers: int,
) -> dict[str, set[str] | FakevmError]:
    """Run each VM's command, so many at once; return the addresses that answered, or why not."""
    found = each(
        lambda i: _asked(lab, sources[i], commands[i], timeout_s=timeout_s),
        list(commands),
        workers=workers,
    )
    return dict(zip(commands, found, strict=True))


def _asked(
    lab: Parts, source: Target | FakevmError, argv: Sequence[str], *, timeout_s: float
) -> set[str] | FakevmError:
    """Return the addresses that answer a VM, or why it could not ask."""
    if isinstance(source, FakevmError):
        return source
    result = several.run_in(lab, source, argv, timeout_s=timeout_s)
    if result.error or result.exit_code:
        return FakevmError(result.error or result.stderr.strip())
    return set(result.stdout.split())
