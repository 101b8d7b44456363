"""Results on stdout: as a table, JSON or YAML."""

from __future__ import annotations

import json
import select
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import click

from fakevm import display

_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow", "red")


def plain(value: Any) -> Any:
    """Return a result's values as JSON has them."""
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def show(value: Any, form: str, *, columns: Sequence[str] = ()) -> None:
    """Print a result; in a table, these of its keys, and a single value's keys one a line."""
    data = plain(value)
    if form == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    elif form == "yaml":
        click.echo(display.documents.yaml_of(data), nl=False)
    elif isinstance(data, list):
        table([[cell(one[key]) for key in columns] for one in data], columns)
    else:
        table([[key, cell(data[key])] for key in columns or data], ())


def show_next(value: Any, form: str) -> None:
    """Print one of several results, as a line of JSON or as a document of YAML's."""
    data = plain(value)
    if form == "json":
        click.echo(json.dumps(data, ensure_ascii=False))
    else:
        click.echo(f"---\n{display.documents.yaml_of(data)}", nl=False)
    sys.stdout.flush()


def table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    """Print rows under a head; in a terminal with its width in mind, else in full."""
    if sys.stdout.isatty():
        display.tables.show(rows, columns)
        return
    heads = [[column.replace("_", " ").upper() for column in columns]] if columns else []
    lines = [*heads, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def cell(value: Any) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value))
    if isinstance(value, dict):
        return str(value["ip_address"]) if "ip_address" in value else _pairs(value)
    return visible(str(value))


def _pairs(value: dict[str, Any]) -> str:
    return ", ".join(f"{key} {cell(one)}" for key, one in value.items())


def visible(text: str) -> str:
    """Return a text of one line, in which nothing is for the terminal to obey."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def coloured(text: str, of: str, colours: dict[str, str]) -> str:
    """Return a text in the colour of what it is of, which keeps the one that it got first."""
    return click.style(text, fg=colours.setdefault(of, _COLOURS[len(colours) % len(_COLOURS)]))


def is_read(*, within_s: float = 0) -> bool:
    """Tell whether somebody still reads our stdout, and does so for this time."""
    watched = select.poll()
    try:
        watched.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):
        # It is no file.
        time.sleep(within_s)
        return True
    seen = watched.poll(within_s * 1000)
    return not any(events & (select.POLLERR | select.POLLHUP) for _, events in seen)
