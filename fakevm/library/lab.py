"""A lab for tests and scripts: all verbs of `fakevm.lab.Lab`, and its contents as objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import fakevm.lab
from fakevm import labs, library, neutron, scenarios
from fakevm.errors import FakevmError, WaitTimeoutError, raise_all
from fakevm.library import behind
from fakevm.library.behind.breaking import Breaking
from fakevm.library.behind.maker import Maker
from fakevm.names import DEFAULT_LAB

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Unpack

    from fakevm.contents.converge import Converged
    from fakevm.labs.down import DownReport
    from fakevm.library.behind.found import Found
    from fakevm.library.behind.words import LabWords
    from fakevm.library.floating_ip import FloatingIp
    from fakevm.library.network import Network
    from fakevm.library.qos_policy import QosPolicy
    from fakevm.library.router import Router
    from fakevm.library.security_group import SecurityGroup
    from fakevm.library.trunk import Trunk
    from fakevm.library.vm import Vm
    from fakevm.neutron.sdk import Connection
    from fakevm.preflight.values import Check
    from fakevm.scenarios.scenario import Finding

T = TypeVar("T")

# A lab on two slow cores takes a quarter of it; images take longer, and are not counted.
UP_S = 300.0

# How often a state is asked for that is waited for.
_POLL_S = 0.2


class Lab(Maker, Breaking):
    """A lab that runs. Use it in a `with` block, or close it: the lab goes on running."""

    @classmethod
    def up(
        cls,
        name: str = DEFAULT_LAB,
        *,
        build: bool = True,
        timeout_s: float = UP_S,
        say: Callable[[str], None] = lambda _text: None,
        **words: Unpack[LabWords],
    ) -> Self:
        """Start a lab, or change one that runs to what is asked for, as `fakevm up` does.

        The words are a lab file's. build: whether images that are missing may be built; say: is
        told the progress.
        """
        wishes = behind.begin.wishes(name, words, build=build)
        behind.begin.up(name, wishes, timeout_s=timeout_s, say=say)
        return cls(name, say=say)

    @classmethod
    def join(
        cls,
        name: str,
        *,
        api: str,
        hosts: Sequence[str] = (),
        timeout_s: float = UP_S,
        say: Callable[[str], None] = lambda _text: None,
    ) -> Self:
        """Start compute hosts for another lab's Neutron, as a lab without one of its own.

        api: its URL, as `other.endpoint` has it; hosts: their names, NAME-1 if none is given.
        """
        behind.begin.join(name, api, hosts, timeout_s=timeout_s, say=say)
        return cls(name, say=say)

    @staticmethod
    def doctor(name: str = DEFAULT_LAB, **words: Unpack[LabWords]) -> list[Check]:
        """Return what such a lab needs of this machine, and whether that is there."""
        return behind.begin.examine(name, behind.begin.wishes(name, words, build=True))

    def leave(self) -> DownReport:
        """Remove the hosts of a lab that has joined a Neutron, and their agents from it."""
        self.close()
        return labs.join.leave(self.name, engine=self._engine)

    def down(self) -> DownReport:
        """Remove the lab with all that is in it; return what that was."""
        self.close()
        self.__dict__.pop("containers", None)
        return labs.down.down(self.name, engine=self._engine)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, tb)
        # A traceback shows no hint.
        if isinstance(error, FakevmError):
            told = getattr(error, "__notes__", ())
            if error.hint and error.hint not in told:
                error.add_note(error.hint)

    @property
    def clouds(self) -> Mapping[str, object]:
        """What a clouds.yaml has for it."""
        return neutron.login.clouds(self.name, self.endpoint, self.logins)

    def scenario(
        self, name: str, *, tries: int | None = None, timeout_s: float = fakevm.lab.WAIT_S
    ) -> Finding:
        """Find out whether its Neutron has a known fault, on networks and VMs of its own."""
        chosen = scenarios.known.find(name)
        return scenarios.tries.carry_out(
            chosen, self, tries=tries, timeout_s=timeout_s, say=self.say
        )

    # What is in it

    @property
    def _made_in(self) -> fakevm.lab.Lab:
        return self

    def apply(self, file: Path | str, *, prune: bool = False, dry_run: bool = False) -> Converged:
        """Let the lab have what a lab file has, and with `prune` no more of what files made.

        What the file says of the lab itself is `Lab.up`'s. FakevmError: the first of what failed.
        """
        done = self.converge(behind.begin.things(file), prune=prune, dry_run=dry_run)
        raise_all(done.errors)
        return done

    @property
    def networks(self) -> Found[Network]:
        """The networks that are there, whoever made them: `lab.networks["a"]`."""
        return behind.found.named(self, library.network.Network, "networks", "network")

    @property
    def routers(self) -> Found[Router]:
        """The routers that are there."""
        return behind.found.named(self, library.router.Router, "routers", "router")

    @property
    def security_groups(self) -> Found[SecurityGroup]:
        """The security groups that are there."""
        made = library.security_group.SecurityGroup
        return behind.found.named(self, made, "security_groups", "security group")

    @property
    def qos_policies(self) -> Found[QosPolicy]:
        """The QoS policies that are there."""
        made = library.qos_policy.QosPolicy
        return behind.found.named(self, made, "policies", "QoS policy")

    @property
    def trunks(self) -> Found[Trunk]:
        """The trunks that are there."""
        return behind.found.named(self, library.trunk.Trunk, "trunks", "trunk")

    @property
    def floating_ips(self) -> Found[FloatingIp]:
        """The floating IPs that are there, by their addresses."""
        return behind.found.floating_ips(self)

    @property
    def vms(self) -> Found[Vm]:
        """The VMs that are there."""
        return behind.found.vms(self)

    @property
    def openstack(self) -> Connection:
        """The OpenStack SDK's connection to the lab's Neutron, for all else."""
        return self.neutron.sdk

    def wait_for(
        self,
        what: str,
        state: Callable[[], T],
        *,
        timeout_s: float = fakevm.lab.WAIT_S,
        interval_s: float = _POLL_S,
    ) -> T:
        """Ask until what `state` returns is true, and return it; WaitTimeoutError says for what."""
        __tracebackhide__ = True
        deadline = time.monotonic() + timeout_s
        while True:
            found = state()
            if found:
                return found
            if time.monotonic() > deadline:
                raise WaitTimeoutError(
                    f"not so in the lab {self.name!r} after {timeout_s:g} s: {what}"
                    f" (the last answer was {found!r})"
                )
            time.sleep(interval_s)
