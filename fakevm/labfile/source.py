"""A lab file's text as values, each with its place: YAML 1.2's core, by PyYAML's events.

Neither anchors nor merge keys: a file of 1 MB can't become more in memory. A number is decimal
digits alone, so that a MAC address stays what it is, which YAML 1.1 reads in base 60.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from fakevm.labfile.find import MAX_BYTES
from fakevm.labfile.problems import LabFileError, Path, Problem

# What a person or a program writes by far.
MAX_DEPTH = 20

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

# Its line and column, from 1.
Mark = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file's values, and where each stands: of a mapping's, its key."""

    file: str
    values: Any
    marks: Mapping[Path, Mark]

    def problem(self, path: Path, what: str) -> Problem:
        """Return a problem at a path, or at the nearest one above it that the file has."""
        while path not in self.marks and path:
            path = path[:-1]
        line, column = self.marks.get(path, (1, 1))
        return Problem(file=self.file, line=line, column=column, what=what)


def read(data: bytes, file: str) -> Source:
    """Return the values of a file; LabFileError, where it is no YAML, or what is refused of it."""
    if len(data) > MAX_BYTES:
        raise _error(file, (1, 1), f"a lab file has at most {MAX_BYTES} bytes")
    try:
        # PyYAML itself would take UTF-16, too.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        start = before.rfind(b"\n") + 1
        mark = (before.count(b"\n") + 1, len(before[start:].decode(errors="replace")) + 1)
        raise _error(file, mark, f"UTF-8 is expected, not the byte {data[error.start]:#04x}") from (
            error
        )
    reader = _Reader(file)
    try:
        values = reader.document(yaml.parse(text, Loader=_LOADER))
    except yaml.reader.ReaderError as error:
        before_it = text[: error.position]
        mark = (before_it.count("\n") + 1, len(before_it) - before_it.rfind("\n"))
        raise _error(file, mark, "a character that YAML does not have") from error
    except yaml.MarkedYAMLError as error:
        raise _error(file, _mark(error.problem_mark), _words(error, text)) from error
    if reader.problems:
        raise LabFileError(reader.problems)
    return Source(file=file, values=values, marks=reader.marks)


def written(values: Mapping[str, Any]) -> str:
    """Return values as a lab file's text; short things in one line."""
    made: str = yaml.safe_dump(
        dict(values), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
    )
    return made


class _Reader:
    """Makes values of events, and keeps where they stand."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.marks: dict[Path, Mark] = {}
        self.problems: list[Problem] = []

    def document(self, events: Iterator[yaml.Event]) -> Any:
        """Return the value of the one document; None, where the file is empty."""
        values, documents = None, 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _error(self._file, _mark(event.start_mark), "only one document is read")
                values = self._value(next(events), events, ())
        return values

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], path: Path) -> Any:
        self.marks.setdefault(path, _mark(event.start_mark))
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _error(self._file, _mark(event.start_mark), "anchors and aliases are not read")
        if (tag := getattr(event, "tag", None)) not in (None, "!"):
            raise _error(self._file, _mark(event.start_mark), f"a tag is not read: {tag}")
        if len(path) > MAX_DEPTH:
            raise _error(self._file, _mark(event.start_mark), "it is nested too deep")
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(event := next(events), yaml.SequenceEndEvent):
                items.append(self._value(event, events, (*path, len(items))))
            return items
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, path)
        assert isinstance(event, yaml.ScalarEvent)
        return _scalar(event)

    def _mapping(self, events: Iterator[yaml.Event], path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            mark = _mark(event.start_mark)
            if not isinstance(event, yaml.ScalarEvent):
                raise _error(self._file, mark, "a key is text")
            if event.anchor or (event.value == "<<" and not event.style):
                raise _error(self._file, mark, "anchors and merge keys are not read")
            # Whatever it looks like: `1` and `true` are names as well.
            key = event.value
            if key in found:
                line, column = self.marks[(*path, key)]
                what = f"{key!r} stands here twice: see line {line}, column {column}"
                self.problems.append(
                    Problem(file=self._file, line=mark[0], column=mark[1], what=what)
                )
            else:
                self.marks[(*path, key)] = mark
            value = self._value(next(events), events, (*path, key))
            found.setdefault(key, value)
        return found


def _scalar(event: yaml.ScalarEvent) -> Any:
    text: str = event.value
    if event.style:
        return text
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if _NUMBER.fullmatch(text) else text


def _words(error: yaml.MarkedYAMLError, text: str) -> str:
    """Return PyYAML's words for what is wrong; of a tab, what to do."""
    mark = error.problem_mark
    lines = text.splitlines()
    if mark is not None and mark.line < len(lines):
        before = lines[mark.line][: mark.column + 1]
        if "\t" in before and not before.strip():
            return "a tab can't indent in YAML: use spaces"
    return ": ".join(filter(None, (error.context, error.problem))) or "this is no YAML"


def _mark(mark: Any) -> Mark:
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _error(file: str, mark: Mark, what: str) -> LabFileError:
    return LabFileError([Problem(file=file, line=mark[0], column=mark[1], what=what)])
