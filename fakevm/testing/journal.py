"""What a run's tests have made, in a file: a run that is killed leaves it to the next one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from fakevm.neutron.made import Made

# A lab that begins just now.
NEW = "new"


@dataclass(frozen=True, kw_only=True)
class Noted:
    """What a journal says."""

    # Whose it is: a run's word.
    run: str = ""
    # By which a lab is known that a run has made, and may take down: NEW, or the id of one of its
    # networks. "": the lab is somebody else's.
    made: str = ""
    things: tuple[Made, ...] = ()


class Journal:
    """The journal of a lab. Workers that share the lab share it: each line is written at once."""

    def __init__(self, lab: str, folder: Path) -> None:
        self._file = folder / f"{lab}.jsonl"

    def read(self) -> Noted:
        """Return what is noted; of a line that is none, nothing."""
        run, made, things = "", "", []
        with suppress(FileNotFoundError):
            for line in self._file.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, TypeError, KeyError):
                    found = json.loads(line)
                    if "run" in found:
                        run, made = found["run"], found["made"]
                    else:
                        things.append(Made(**found))
        return Noted(run=run, made=made, things=tuple(things))

    def begin(self, noted: Noted) -> None:
        """Begin anew: a run has the lab, and there is no more in it than this."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        half = self._file.with_suffix(".part")
        lines = [{"run": noted.run, "made": noted.made}, *map(asdict, noted.things)]
        half.write_text("".join(map(_line, lines)), encoding="utf-8")
        half.replace(self._file)

    def note(self, made: Made) -> None:
        """Note what was made."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(_line(asdict(made)))

    def end(self) -> None:
        """The lab is gone, or no run's."""
        self._file.unlink(missing_ok=True)


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where journals are: XDG's folder for what a program remembers."""
    state = environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "fakevm" / "pytest"


def names(folder: Path) -> list[str]:
    """Return the labs that have a journal."""
    return sorted(file.stem for file in folder.glob("*.jsonl"))


def _line(values: Mapping[str, object]) -> str:
    return f"{json.dumps(values)}\n"
