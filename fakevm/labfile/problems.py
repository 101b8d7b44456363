"""What is wrong in a lab file, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fakevm.errors import ConfigError

# Where in the file: keys of mappings and places in lists, from the top.
Path = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True, order=True)
class Problem:
    """Something in a file that is not as it should be; lines and columns count from 1."""

    file: str
    line: int
    column: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.what}"


class LabFileError(ConfigError):
    """A lab file is not as it should be; all that is wrong is told at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        first, *others = sorted(set(problems))
        super().__init__(str(first))
        self.problems = (first, *others)
        for other in others:
            self.add_note(str(other))
