"""What one test makes in its lab: named after it, removed at its end."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle
from types import TracebackType
from typing import TYPE_CHECKING, Self

import fakevm.lab
from fakevm.library.behind.maker import Maker
from fakevm.library.lab import Lab
from fakevm.names import natural
from fakevm.neutron.made import Made
from fakevm.testing import removal

if TYPE_CHECKING:
    from typing import Unpack

    from fakevm.library.behind.words import (
        EachNicWords,
        FloatingIpWords,
        NetworkLike,
        NicLike,
    )
    from fakevm.library.floating_ip import FloatingIp
    from fakevm.library.vm import Vm

# As much of a test's name as still leaves a line readable.
_LONGEST = 40

# Of the whole name, where it is cut.
_MARK = 4

# VMs that boot at once.
_AT_ONCE = 4


class Cloud(Maker):
    """Makes networks, routers, security groups, VMs and more in a lab for one test, or some.

    Use it in a `with` block, at whose end they are removed. It has the methods of `Lab` that make
    something; each name gets the test's before it.
    """

    def __init__(self, lab: Lab, name: str, *, worker: str = "") -> None:
        """`name`: of the test, or what else shall stand before the names.

        worker: who of those that share the lab it is, as pytest-xdist has it: "gw0".
        """
        self.lab = lab
        self.prefix = prefix(name, worker)
        self._made: list[Made] = []
        self._hearing = ExitStack()
        self._hearing.enter_context(lab.heard(self._hear))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove all that it made, also what is only half made."""
        self._hearing.close()
        made, self._made = self._made, []
        removal.remove_all(self.lab, made)

    def _hear(self, made: Made) -> None:
        if made.name.startswith(self.name("")):
            self._made.append(made)

    def has(self, made: Made) -> bool:
        """Tell whether something is of its making."""
        return made.name.startswith(self.name("")) or made in self._made

    def name(self, name: str) -> str:
        """Return what a thing of this name is called in the lab."""
        return f"{self.prefix}-{name}"

    # What is made

    @property
    def _made_in(self) -> Lab:
        return self.lab

    def _called(self, name: str) -> str:
        return self.name(name)

    def floating_ip(self, nic: NicLike, **words: Unpack[FloatingIpWords]) -> FloatingIp:
        """Give a VM's NIC an address of an external network; return it."""
        made: list[Made] = []
        # It has no name.
        with self.lab.heard(made.append):
            found = super().floating_ip(nic, **words)
        self._made += [one for one in made if one.id == found.id]
        return found

    def vms(
        self,
        *names: str,
        on: Sequence[str] = (),
        networks: Sequence[NetworkLike] = (),
        timeout_s: float = fakevm.lab.FILE_S,
        **each: Unpack[EachNicWords],
    ) -> list[Vm]:
        """Boot VMs at once, each on another host; return them.

        on: the hosts, the first for the first VM; where there are fewer, they begin again.
        """
        hosts = cycle(on or self.hosts)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            futures = [
                pool.submit(self.vm, name, on=host, networks=networks, timeout_s=timeout_s, **each)
                for name, host in zip(names, hosts, strict=False)
            ]
        return [future.result() for future in futures]

    @property
    def hosts(self) -> list[str]:
        """The lab's compute hosts."""
        return sorted((one.service for one in self.lab.computes), key=natural)


def prefix(name: str, worker: str = "") -> str:
    """Return what stands before the names of what a test makes: of "test_web[ovs]", "web-ovs".

    It ends in the worker's name. One that is too long is cut before that, and has a mark, by which
    two parameters of one test differ.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower().removeprefix("test_")).strip("-") or "test"
    whole = "-".join(filter(None, (plain, worker)))
    if len(whole) <= _LONGEST:
        return whole
    mark = hashlib.sha256(name.encode()).hexdigest()[:_MARK]
    end = "-".join(filter(None, (mark, worker)))
    return f"{plain[: _LONGEST - len(end) - 1].strip('-')}-{end}"
