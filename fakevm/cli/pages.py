"""A migration's page, written where the user wants it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fakevm import reports
from fakevm.cli.session import say
from fakevm.display import output
from fakevm.errors import ConfigError

if TYPE_CHECKING:
    from fakevm.reports.migration import MigrationReport

F = TypeVar("F", bound=Callable[..., Any])


def report_option(function: F) -> F:
    """Let the user have a page with what was seen of a migration."""
    return click.option(
        "--report",
        "report_file",
        metavar="FILE.html",
        type=click.Path(dir_okay=False, path_type=Path),
        callback=_checked,
        help="Write what was seen as a page with a time line.",
    )(function)


def write(report: MigrationReport, file: Path | None) -> None:
    """Write a migration's page, if a file is given."""
    if file:
        try:
            file.write_text(reports.page.html(output.plain(report)), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"--report {file}: {error.strerror}") from error
        say(f"report: {file}")


def _checked(_ctx: click.Context, _param: click.Parameter, file: Path | None) -> Path | None:
    if file and file.suffix not in (".html", ".htm"):
        raise ConfigError(f"--report {file}: a name that ends in .html is expected")
    return file
