"""What a test needs, by its marker `@pytest.mark.fakevm(…)`, and whether it can be had: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion

from fakevm.backends import known
from fakevm.errors import ConfigError
from fakevm.testing.options import Options


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a test needs of its lab."""

    hosts: int = 1
    # None named: any.
    backends: tuple[str, ...] = ()
    neutron: SpecifierSet = field(default_factory=SpecifierSet)


def of(marks: Iterable[Mapping[str, Any]]) -> Needs:
    """Return what markers ask for, the nearest one first; ConfigError: what is none of it."""
    words: dict[str, Any] = {}
    for mark in marks:
        words = {**mark, **words}
    if unknown := sorted(set(words) - {"hosts", "backend", "neutron"}):
        raise ConfigError(f"{', '.join(unknown)}: hosts, backend or neutron is expected")
    hosts = words.get("hosts", 1)
    if not isinstance(hosts, int) or hosts < 1:
        raise ConfigError(f"hosts={hosts!r}: a number of compute hosts is expected")
    asked = words.get("backend", ())
    backends = (asked,) if isinstance(asked, str) else tuple(asked)
    for one in backends:
        known.get(one)
    try:
        neutron = SpecifierSet(words.get("neutron", ""))
    except InvalidSpecifier as error:
        raise ConfigError(f"neutron={words['neutron']!r}: as '>=28' is expected") from error
    return Needs(hosts=hosts, backends=backends, neutron=neutron)


def backends(needs: Needs, options: Options) -> tuple[str, ...]:
    """Return on which backends a test is to run; none: the options leave it none."""
    if not options.backends:
        return needs.backends or (options.backend,)
    return tuple(b for b in options.backends if not needs.backends or b in needs.backends)


def refusal(needs: Needs, options: Options, *, backend: str) -> str:
    """Return why a test can't run on a backend with these options; "": it can.

    A marker of one parameter is not known when backends are chosen: its own is one of the others'.
    """
    if not backends(needs, options):
        wanted, given = " or ".join(needs.backends), ",".join(options.backends)
        return f"needs a lab of {wanted}; --fakevm-backend is {given}"
    if needs.backends and backend not in needs.backends:
        return f"needs a lab of {' or '.join(needs.backends)}; this is one of {backend}"
    if options.hosts is not None and needs.hosts > options.hosts:
        return f"needs {needs.hosts} hosts; --fakevm-hosts is {options.hosts}"
    if options.neutron and not _contains(needs.neutron, options.neutron):
        return f"needs Neutron {needs.neutron}; --fakevm-neutron is {options.neutron}"
    return ""


def outdated(needs: Needs, release: str) -> str:
    """Return why a test can't run on a lab with this release of Neutron; "": it can."""
    if _contains(needs.neutron, release):
        return ""
    return f"needs Neutron {needs.neutron}; the lab has {release}"


def _contains(asked: SpecifierSet, release: str) -> bool:
    """Tell whether a release is one of those; of what is no version nobody knows."""
    if not asked:
        return True
    with suppress(InvalidVersion):
        return asked.contains(release, prereleases=True)
    return False
