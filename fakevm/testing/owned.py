"""What tests have made in their labs, and with what each thing goes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fakevm.errors import attempt_each, raise_all
from fakevm.neutron.made import Made
from fakevm.testing import removal

if TYPE_CHECKING:
    from fakevm.library.lab import Lab

# Of things that go with their test.
FUNCTION = "function"


@dataclass(frozen=True, kw_only=True)
class Owned:
    """What was made, and with what it goes: pytest's word for a fixture's scope."""

    lab: str
    scope: str
    made: Made


class Things:
    """All that the tests of one process have made, and that is not removed yet."""

    def __init__(self) -> None:
        # Whose what is made just now is.
        self._scope = FUNCTION
        self._made: list[Owned] = []

    def hear(self, lab: str, made: Made) -> None:
        """Note what was made in a lab."""
        self._made.append(Owned(lab=lab, scope=self._scope, made=made))

    @contextmanager
    def made_by(self, scope: str) -> Iterator[None]:
        """Let what is made meanwhile go with what has this scope."""
        before, self._scope = self._scope, scope
        try:
            yield
        finally:
            self._scope = before

    def sweep(self, labs: Iterable[Lab], scopes: Collection[str] | None = None) -> list[Made]:
        """Remove from labs what is left of what goes with these scopes; return what that was.

        None: of all. What can't be removed is told once: a lab that stays has it in its journal,
        for the next run.
        """
        mine = [one for one in self._made if scopes is None or one.scope in scopes]

        def remove(lab: Lab) -> list[Made]:
            made = [one.made for one in mine if one.lab == lab.name]
            return removal.remove_all(lab, removal.left_of(lab, made))

        removed, failures = attempt_each(list(labs), remove)
        self._made = [one for one in self._made if one not in mine]
        raise_all(failures)
        return [one for found in removed for one in found]
