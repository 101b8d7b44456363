"""What a terminal gets, by rich: tables of its width, and a sign that something goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text


def show(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    """Print rows under a head, folded to the terminal's width."""
    Console().print(made(rows, columns))


def made(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> Table:
    """Return rows under a head."""
    heads = columns or ("", "")
    table = Table(box=SIMPLE_HEAD, show_header=bool(columns), padding=(0, 1, 0, 0))
    for column in heads:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        # As Text: a name with brackets is no markup.
        table.add_row(*(Text(_cut(text, column)) for text, column in zip(row, heads, strict=True)))
    return table


def _cut(text: str, column: str) -> str:
    # A UUID fills half a terminal, and its beginning is understood as well.
    return text[:8] if column == "port_id" else text


@contextmanager
def progress(words: str) -> Iterator[Callable[[str], None]]:
    """Give what tells progress in lines on stderr, below which these words show that it goes on."""
    console = Console(stderr=True, highlight=False)
    with console.status(words) as running:

        def tell(text: str) -> None:
            console.print(escape(text))
            running.update(words)

        yield tell
