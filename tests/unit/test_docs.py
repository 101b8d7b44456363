"""What is documented is there: command lines parse, links lead somewhere, all has a page."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from fakevm.cli.root import COMMANDS, cli
from fakevm.evidence.collect import WITHIN_S

ROOT = Path(__file__).resolve().parents[2]

TEXTS = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])

# What a usage has in place of words of its own.
PLACEHOLDER = re.compile(r"…|[\[\]|]|\.\.\.")


LINK = re.compile(r"\]\(([^)\s:#]*)(?:#([^)\s]*))?\)")


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pages", ROOT / "docs/pages.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = script()


def command_lines() -> Iterator[tuple[str, str, bool]]:
    """Give each `fakevm …`, and whether it is a whole line of a console's, or named in a text."""
    for path in TEXTS:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            where = f"{path.name}:{number}"
            if line.startswith("$ "):
                yield from ((where, one, True) for one in _of_shell(line.removeprefix("$ ")))
            elif not line.startswith((" ", "```", "|")):
                for code in re.findall(r"`(fakevm [^`]+)`", line):
                    if not PLACEHOLDER.search(code):
                        yield from ((where, one, False) for one in _of_shell(code))


def _of_shell(line: str) -> Iterator[str]:
    """Give the commands of a line that are fakevm's, each without its redirections."""
    lexer = shlex.shlex(re.sub(r"\s#\s.*|\\$", "", line), posix=True, punctuation_chars=True)
    lexer.commenters = ""
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("();<>|&"):
            if words[:1] == ["fakevm"]:
                yield shlex.join(words)
            words = []
        else:
            words.append(word)


def check(line: str, *, whole: bool = True) -> None:
    """Parse a line down to its command's options and arguments; nothing is run.

    whole: it has all arguments that the command needs.
    """
    _, *words = shlex.split(line)
    context = click.Context(cli, info_name="fakevm")
    command: click.Command = cli
    while True:
        # What is said with eager options ends there.
        if "--help" in words or "--version" in words:
            return
        parser = command.make_parser(context)
        given, rest, _ = parser.parse_args(list(words))
        for param in command.params:
            if isinstance(param.type, click.Choice) and isinstance(
                given.get(param.name or ""), str
            ):
                param.type.convert(given[param.name or ""], param, context)
        if not isinstance(command, click.Group):
            assert command.allow_extra_args or context.allow_extra_args or not rest, rest
            needed = [p for p in command.params if isinstance(p, click.Argument) and p.required]
            if not whole:
                return
            # One that is not given has a value of click's own.
            values = [given.get(param.name or "") for param in needed]
            assert all(isinstance(value, str | tuple) and value for value in values), needed
            return
        assert rest, f"{line}: no command"
        name, *words = rest
        found = command.get_command(context, name)
        assert found, f"{line}: no command {name!r}"
        command = found
        context = click.Context(found, parent=context, info_name=name, **found.context_settings)


@pytest.mark.parametrize(("where", "line", "whole"), list(command_lines()))
def test_a_command_line_parses(where: str, line: str, whole: bool) -> None:
    try:
        check(line, whole=whole)
    except click.ClickException as error:
        pytest.fail(f"{where}: {line}: {error.format_message()}")


def test_a_command_line_that_is_wrong_is_seen() -> None:
    lines = [line for _, line, _ in command_lines()]
    assert len(lines) > 100
    for wrong in ("fakevm up --compute 2", "fakevm upp", "fakevm up --backend x", "fakevm show"):
        with pytest.raises((click.ClickException, AssertionError)):
            check(wrong)


def anchors(markdown: str) -> set[str]:
    return {PAGES.slug(found[2]) for found in PAGES._headings(markdown)}


def links(markdown: str) -> Iterator[tuple[str, str]]:
    for code, line in PAGES.lines(markdown):
        yield from () if code else LINK.findall(line)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_a_link_leads_somewhere_in_the_repository(path: Path) -> None:
    for to, anchor in links(path.read_text(encoding="utf-8")):
        target = path.parent / to if to else path
        assert target.exists(), to
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{to}#{anchor}"


def test_a_link_leads_somewhere_on_the_site(tmp_path: Path) -> None:
    PAGES.write(tmp_path / "site")
    for path in (tmp_path / "site").rglob("*.md"):
        for to, anchor in links(path.read_text(encoding="utf-8")):
            target = path.parent / to if to else path
            assert target.exists(), f"{path.name}: {to}"
            if anchor:
                assert anchor in anchors(target.read_text(encoding="utf-8")), f"{to}#{anchor}"


def test_each_command_each_class_and_each_job_has_a_page() -> None:
    pages = PAGES.pages()
    for commands in COMMANDS.values():
        assert all(f"commands/{name}.rst" in pages for name in commands)
    for name in ("Lab", "Network", "Router", "SecurityGroup", "Vm", "UnreachedError", "errors"):
        assert f"classes/{name}.rst" in pages
    assert pages["guide/live-migration.md"].startswith("# Live migration\n")
    # Each is in the contents, which the first page has.
    contents = set(re.findall(r"^[\w/-]+$", pages["index.md"], re.MULTILINE))
    assert {name.rpartition(".")[0] for name in pages} - {"index"} <= contents


def test_the_bound_of_evidence_is_the_one_that_is_documented() -> None:
    text = (ROOT / "docs/library.md").read_text(encoding="utf-8")
    assert f"{WITHIN_S:g} at most" in text
