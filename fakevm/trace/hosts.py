"""The hosts on a packet's way, each asked once what it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from fakevm.clients.at_once import each
from fakevm.clients.process import run
from fakevm.errors import FakevmError
from fakevm.trace import switch
from fakevm.trace.switch import Switch
from fakevm.trace.values import Ended

if TYPE_CHECKING:
    from fakevm.inventory.lookup import Lookup
    from fakevm.model import PluggedVif

# How long a program of a service, or of a VM, may take for an answer.
ANSWER_S = 20.0


class Hosts:
    """Of a lab."""

    def __init__(self, lab: Lookup) -> None:
        self._lab = lab
        # What each has, or why it does not say.
        self._found: dict[str, Switch | FakevmError] = {}

    def look(self, names: Iterable[str], vms_on: Iterable[str]) -> None:
        """Ask hosts what they have, and connect to the agents of some, all at once."""

        def look(host: str) -> Switch | FakevmError:
            try:
                return switch.look(host, self._lab.service(host).name)
            except FakevmError as error:
                return error

        def connect(host: str) -> FakevmError | None:
            try:
                self._lab.agent(host)
            except FakevmError as error:
                return error
            return None

        asked = sorted(set(names) - self._found.keys())
        agents = sorted(set(vms_on))
        acts = [(look, host) for host in asked] + [(connect, host) for host in agents]
        found = each(lambda one: one[0](one[1]), acts)
        for host, answer in zip(asked, found, strict=False):
            assert answer is not None
            self._found[host] = answer

    def answers(self, name: str) -> bool:
        """Tell whether a host says what it has."""
        self.look([name], ())
        return isinstance(self._found[name], Switch)

    def switch(self, name: str, *, word: str = "lost") -> Switch:
        """Return what a host has; a packet's way ends at one that does not say."""
        self.look([name], ())
        found = self._found[name]
        if isinstance(found, FakevmError):
            raise Ended(f"{word}: {found}")
        return found

    def known(self) -> Iterator[Switch]:
        """Yield what those have that were asked, and say it."""
        return (one for one in self._found.values() if isinstance(one, Switch))

    def running(self) -> Iterator[Switch]:
        """Yield what all running hosts have that say it."""
        self.look((one.service for one in self._lab.containers if one.is_host and one.running), ())
        return self.known()

    def vif(self, host: str, port_id: str) -> PluggedVif | None:
        """Return what a host that answers has of a VM's port."""
        return next(iter(self._lab.agent(host).vifs(port_id)), None)

    def in_vm(self, host: str, port_id: str, *argv: str) -> tuple[int, str]:
        """Run a program in a VM; return its exit code, and what it says."""
        said: list[bytes] = []
        with self._lab.agent(host).execute(port_id, argv, timeout_s=ANSWER_S) as running:
            for stream, piece in running.output():
                if stream == "stdout":
                    said.append(piece)
        return running.exit_code, b"".join(said).decode(errors="replace")

    def in_service(self, name: str, *argv: str) -> str:
        """Run a program in a host or a service; return what it says, or raise ExitError."""
        return run(("docker", "exec", self._lab.service(name).name, *argv), timeout_s=ANSWER_S)
