"""Which file is a lab's: the one that is named, or the one of the working folder."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from fakevm.errors import ConfigError, ConflictError, NotFoundError, UnavailableError

NAME = "fakevm.yaml"
STDIN = "-"

# Also found in a folder.
_NAMES = (NAME, "fakevm.yml")

# More than a person or a program writes by far.
MAX_BYTES = 1_000_000

# One more than a file may have is enough to see that it has more.
_MOST = MAX_BYTES + 1


@dataclass(frozen=True, kw_only=True)
class Text:
    """A lab file's bytes, what it is called, and the folder that its paths begin at."""

    data: bytes
    name: str
    folder: Path


def text(named: str | None) -> Text | None:
    """Return the file that is named, in a folder that is named, or stdin's for "-".

    None is named: that of the working folder; None, where there is none.
    """
    if named == STDIN:
        return Text(data=sys.stdin.buffer.read(_MOST), name="stdin", folder=Path.cwd())
    path = Path(named) if named is not None else None
    if path is None:
        found = _in(Path.cwd())
        if found is None:
            return None
        path = Path(found.name)
    elif path.is_dir():
        inside = _in(path)
        if inside is None:
            raise NotFoundError(_nothing_in(path), hint="fakevm init; or name the file")
        path = inside
    try:
        with path.open("rb") as file:
            data = file.read(_MOST)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}", hint="fakevm init writes one") from error
    except OSError as error:
        raise UnavailableError(f"{path} can't be read: {error.strerror}") from error
    return Text(data=data, name=str(path), folder=path.absolute().parent)


def write_new(path: Path, words: str) -> None:
    """Write a file that there is not; ConflictError, if there is one."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(words)
    except FileExistsError as error:
        raise ConflictError(f"there is a {path} already", hint="give another name") from error
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}") from error


def _in(folder: Path) -> Path | None:
    found = [folder / name for name in _NAMES if (folder / name).is_file()]
    if len(found) > 1:
        names = " and ".join(map(str, found))
        raise ConflictError(f"there are {names}", hint="fakevm up -t FILE")
    return found[0] if found else None


def _nothing_in(folder: Path) -> str:
    others = sorted(one.name for one in folder.glob("*.y*ml"))[:5]
    beside = f", but {', '.join(others)}" if others else ""
    return f"there is no {NAME} in {folder}{beside}"
