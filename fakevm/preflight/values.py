"""What a lab needs of a machine, what is there, and what comes of it: values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fakevm.backends.backend import Backend
from fakevm.clients.containers import About, Container
from fakevm.errors import FakevmError
from fakevm.recipe.images import Unfit

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """What this machine's files say; None: they say nothing of it."""

    # As uname(1) has it.
    release: str = ""
    memory_mb: int | None = None
    # Free of what is there for when it does not suffice.
    swap_mb: int = 0
    has_tun: bool | None = None
    has_ipv6: bool | None = None
    has_openvswitch: bool | None = None
    # Whether it could be loaded.
    may_have_openvswitch: bool = False
    has_iptables: bool | None = None
    # By their path below /proc/sys, as far as they are there.
    limits: Mapping[str, int] = field(default_factory=dict)
    # Of the cgroup that containers are in, where it has one.
    pids: int | None = None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What was found: this machine, its engine, and what the labs there have already."""

    # Or why it does not answer.
    engine: About | FakevmError
    # Compose's version, or what is wrong with it.
    compose: str | FakevmError
    kernel: Kernel
    # Of every lab.
    containers: tuple[Container, ...] = ()
    # What is free where the engine keeps its data.
    disk_mb: int | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The lab that is to work."""

    lab: str
    backend: Backend
    hosts: tuple[str, ...]
    datapath: str
    # By role.
    subnets: Mapping[str, str]
    compose_version: tuple[int, ...]
    # Which other network has these.
    collision: FakevmError | None = None
    # None: nobody can tell.
    images: Unfit | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """Something that a lab needs, and whether it is there."""

    check: str
    state: State
    found: str
    needed: str
    # The command that mends it, where something is wrong.
    mend: str = ""
