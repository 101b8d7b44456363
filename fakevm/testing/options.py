"""The plug-in's options, as values."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fakevm import backends
from fakevm.errors import ConfigError
from fakevm.names import check_lab

if TYPE_CHECKING:
    import pytest

MARKER = (
    'fakevm(hosts=N, backend="ovs"|"ovn", neutron=">=28"): what a test needs of its lab: compute'
    " hosts, who wires the ports, Neutron's release"
)

DEFAULT_LAB = "pytest"

# Of compute hosts, where no test asks for more: the fewest between which a VM can move.
DEFAULT_HOSTS = 2


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for on pytest's command line."""

    # Run no test but those that use a lab.
    alone: bool = False
    lab: str = DEFAULT_LAB
    # The lab stays for the next run.
    keep: bool = False
    # One lab for all workers; else by the machine's memory.
    shared: bool = False
    # Those that were named; none: each test's own, or the default.
    backends: tuple[str, ...] = ()
    # Compute hosts; None: as many as the tests need.
    hosts: int | None = None
    neutron: str | None = None
    neutron_src: Path | None = None
    evidence: Path | None = None

    @property
    def backend(self) -> str:
        """Of a test that asks for none."""
        return self.backends[0] if self.backends else backends.known.DEFAULT.name


def add(parser: pytest.Parser) -> None:
    """Tell pytest of the options."""
    group = parser.getgroup("fakevm", "labs of a real OpenStack Neutron")
    group.addoption("--fakevm", action="store_true", help="run only tests that use a lab")
    group.addoption(
        "--fakevm-lab",
        metavar="NAME",
        default=os.environ.get("FAKEVM_LAB") or DEFAULT_LAB,
        help="the lab's name; without, FAKEVM_LAB's [%(default)s]",
    )
    group.addoption(
        "--fakevm-keep", action="store_true", help="leave the lab running, for the next run"
    )
    group.addoption(
        "--fakevm-shared",
        action="store_true",
        help="one lab for all of pytest-xdist's workers; without, by the machine's memory",
    )
    group.addoption(
        "--fakevm-backend",
        metavar="BACKENDS",
        default="",
        help="ovs, ovn, or both as ovs,ovn: each test runs on each",
    )
    group.addoption(
        "--fakevm-hosts",
        metavar="N",
        type=int,
        help="compute hosts; without, as many as the tests need",
    )
    group.addoption("--fakevm-neutron", metavar="VERSION", help="Neutron's release")
    group.addoption(
        "--fakevm-neutron-src", metavar="DIR", help="a working tree that Neutron runs from"
    )
    group.addoption(
        "--fakevm-evidence", metavar="DIR", help="where the files about failed tests are put"
    )


def of(config: pytest.Config) -> Options:
    """Return what was asked for; ConfigError: it is wrong."""
    named = tuple(filter(None, config.getoption("fakevm_backend").split(",")))
    for one in named:
        backends.known.get(one)
    hosts = config.getoption("fakevm_hosts")
    if hosts is not None and hosts < 1:
        raise ConfigError(f"--fakevm-hosts {hosts}: at least 1 is expected")
    tree = _path(config, "fakevm_neutron_src")
    if tree is not None and not tree.is_dir():
        raise ConfigError(f"--fakevm-neutron-src {tree}: there is no such folder")
    return Options(
        alone=config.getoption("fakevm"),
        lab=check_lab(config.getoption("fakevm_lab")),
        keep=config.getoption("fakevm_keep"),
        shared=config.getoption("fakevm_shared"),
        backends=named,
        hosts=hosts,
        neutron=config.getoption("fakevm_neutron"),
        neutron_src=tree,
        evidence=_path(config, "fakevm_evidence"),
    )


def _path(config: pytest.Config, name: str) -> Path | None:
    found = config.getoption(name)
    return (config.invocation_params.dir / found).resolve() if found else None
