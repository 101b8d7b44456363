"""Several VMs at once: which ones are meant, and a command in each of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from fakevm.clients.at_once import each
from fakevm.clients.parts import Parts
from fakevm.errors import ConfigError, ConflictError, FakevmError, NotFoundError
from fakevm.inventory.lookup import Lookup

# What a selector may say of VMs beside their names.
_KEYS = ("host", "network")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A VM on its host."""

    vm_name: str
    instance_id: str
    host: str
    # Of its NICs, by the names that they have there.
    port_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a command in a VM."""

    vm_name: str
    host: str
    # -1: it did not run, for which `error` has the reason.
    exit_code: int
    stdout: str
    stderr: str
    error: str = ""


def all_vms(lab: Parts) -> tuple[list[Target], dict[str, FakevmError]]:
    """Return every VM that a host has, in the order of their names, and the hosts' errors."""
    answers = lab.ask_hosts(lambda agent: agent.vms())
    targets = [
        Target(
            vm_name=one.name,
            instance_id=one.instance_id,
            host=host,
            port_ids=one.port_ids,
        )
        for host, answer in answers.items()
        for one in (answer if isinstance(answer, list) else ())
    ]
    return (
        sorted(targets, key=lambda target: (target.vm_name, target.instance_id, target.host)),
        {host: answer for host, answer in answers.items() if isinstance(answer, FakevmError)},
    )


def wanted(lab: Parts, selectors: Sequence[str]) -> list[Target]:
    """Return the VMs that these selectors mean, without one all.

    NotFoundError, where one means none; UnavailableError, where a host does not answer.
    """
    targets, failures = all_vms(lab)
    for error in failures.values():
        raise error
    if selectors:
        targets = selected(lab, targets, selectors)
    if not targets:
        raise NotFoundError("there is no VM", hint="fakevm create-port NETWORK INSTANCE")
    return targets


def selected(lab: Parts, targets: Sequence[Target], selectors: Sequence[str]) -> list[Target]:
    """Return those that any of these selectors means; NotFoundError: one means none.

    A selector is a VM's name, with * and ? for what may be there, or its id; host=NAME;
    network=NAME.
    """
    chosen: set[tuple[str, str]] = set()
    for selector in selectors:
        here = list(filter(_matcher(lab, selector), targets))
        if not here:
            known = ", ".join(target.vm_name for target in targets[:8])
            raise NotFoundError(
                f"{selector!r} means no VM" + (f" of {known}" if known else ""), hint="fakevm list"
            )
        chosen |= {(target.host, target.instance_id) for target in here}
    return [target for target in targets if (target.host, target.instance_id) in chosen]


def named(lab: Lookup, targets: Sequence[Target], ref: str) -> Target:
    """Return the one that is named by its name or id, or by a VIF of its."""
    found = [target for target in targets if ref in (target.vm_name, target.instance_id)]
    if not found:
        port_id = lab.find(ref, whole=False).id
        found = [target for target in targets if port_id in target.port_ids]
    if not found:
        raise NotFoundError(f"{ref} is on no host that answers", hint=f"fakevm show {ref}")
    if len({target.instance_id for target in found}) > 1:
        ids = ", ".join(sorted(target.instance_id for target in found))
        raise ConflictError(f"several VMs are named {ref!r}: {ids}", hint="give the id")
    return found[0]


def run(
    lab: Parts, targets: Collection[Target], argv: Sequence[str], *, timeout_s: float | None
) -> list[Result]:
    """Run a command in VMs, in all at once; return what came of it, in their order."""
    by_host: dict[str, list[Target]] = defaultdict(list)
    for target in targets:
        by_host[target.host].append(target)
    # Each host is asked once: a request for each VM would take longer than most commands.
    answers = each(
        lambda host: _run_on(lab, host, by_host[host], argv, timeout_s=timeout_s),
        list(by_host),
        workers=len(by_host),
    )
    found = dict(zip(by_host, answers, strict=True))
    return [found[target.host][target.instance_id] for target in targets]


def run_in(lab: Parts, target: Target, argv: Sequence[str], *, timeout_s: float | None) -> Result:
    """Run a command in a VM."""
    return _run_on(lab, target.host, [target], argv, timeout_s=timeout_s)[target.instance_id]


def _run_on(
    lab: Parts,
    host: str,
    targets: Collection[Target],
    argv: Sequence[str],
    *,
    timeout_s: float | None,
) -> dict[str, Result]:
    """Run a command in VMs of one host; return what came of it, by instance ID."""
    ids = [target.instance_id for target in targets]
    said: dict[tuple[str, str], bytearray] = defaultdict(bytearray)
    ends: Mapping[str, int | FakevmError]
    try:
        with lab.agent(host).execute_each(ids, argv, timeout_s=timeout_s) as commands:
            for piece in commands.pieces():
                said[piece.instance_id, piece.stream] += piece.data
        ends = commands.ends
    except FakevmError as failure:
        ends = dict.fromkeys(ids, failure)

    def result(target: Target) -> Result:
        end = ends[target.instance_id]
        stdout, stderr = (
            said[target.instance_id, stream].decode(errors="replace")
            for stream in ("stdout", "stderr")
        )
        return Result(
            vm_name=target.vm_name,
            host=host,
            exit_code=end if isinstance(end, int) else -1,
            stdout=stdout,
            stderr=stderr,
            error="" if isinstance(end, int) else str(end),
        )

    return {target.instance_id: result(target) for target in targets}


def _matcher(lab: Parts, selector: str) -> Callable[[Target], bool]:
    key, equals, value = selector.partition("=")
    if not equals:
        return lambda target: (
            fnmatchcase(target.vm_name, selector) or target.instance_id == selector
        )
    if key not in _KEYS:
        raise ConfigError(
            f"{selector!r}: a VM's name, host=NAME or network=NAME is expected; with * and ? in it"
        )
    if key == "host":
        return lambda target: fnmatchcase(target.host, value)
    ports = lab.neutron.ports(network_id=lab.neutron.network(value).id, fields=("id",))
    here = {port.id for port in ports}
    return lambda target: not here.isdisjoint(target.port_ids)
