"""The pages of the site: docs/, the README's sections, one a command, one a class of the library.

pages.py FOLDER writes them there for Sphinx. Links are those of the repository, as they are
followed there; in FOLDER each leads to the page that has its target.
"""

from __future__ import annotations

import ast
import posixpath
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import fakevm.errors
from fakevm.cli.root import COMMANDS

ROOT = Path(__file__).resolve().parents[1]

# What the README has for those who are on its page alone, or are at the code.
_NO_PAGES = ("Two commands", "The library", "Layout", "Development")

# Beside docs/: by its place in the repository, that on the site.
_MOVED = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}

_HEADING = re.compile(r"^(#+) (.+)$")
_LINK = re.compile(r"(\]\()([^)\s:]*?)(?:#([^)\s]*))?(\))")


def write(folder: Path) -> None:
    """Write all pages, and what they show, into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder, ignore=shutil.ignore_patterns("*.md", "*.py"))
    for name, text in pages().items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(turned(name, text) if name.endswith(".md") else text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Return the text of each page, with the repository's links."""
    own = {
        path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))
    }
    guide = {
        f"guide/{slug(title)}.md": text for title, text in sections() if title not in _NO_PAGES
    }
    commands = {
        section: {f"commands/{name}.rst": command(name, where) for name, where in named.items()}
        for section, named in COMMANDS.items()
    }
    classes = {f"classes/{name}.rst": klass(name) for name in public()}
    classes["classes/errors.rst"] = errors()
    moved = {to: (ROOT / name).read_text(encoding="utf-8") for name, to in _MOVED.items()}
    contents = {
        "How to": guide,
        "More": [name for name in own if name not in ("index.md", "design.md")],
        "Classes": classes,
        **{f"Commands: {section.lower()}": named for section, named in commands.items()},
        "The project": ["design.md", *moved],
    }
    trees = "\n".join(contents_of(title, names) for title, names in contents.items())
    made = guide | classes | moved
    for named in commands.values():
        made |= named
    return {**own, **made, "index.md": f"{own['index.md']}\n{trees}"}


def contents_of(title: str, names: Iterable[str]) -> str:
    """Return a part of the site's contents."""
    entries = "\n".join(name.rpartition(".")[0] for name in names)
    return f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n{entries}\n```\n"


def turned(here: str, markdown: str) -> str:
    """Return a page's text with its links turned to the pages of the site."""
    original = _original(here)

    def link(found: re.Match[str]) -> str:
        path, anchor = found[2], found[3]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(original), path))
        to, anchor = _place(target if path else original, anchor)
        to = "" if to == here and anchor else posixpath.relpath(to, posixpath.dirname(here) or ".")
        return f"{found[1]}{to}{f'#{anchor}' if anchor else ''}{found[4]}"

    return "\n".join(line if code else _LINK.sub(link, line) for code, line in lines(markdown))


def _original(here: str) -> str:
    """Return which file of the repository a page is of."""
    if here.startswith("guide/"):
        return "README.md"
    back = {to: name for name, to in _MOVED.items()}
    return back.get(here, f"docs/{here}")


def _place(target: str, anchor: str | None) -> tuple[str, str | None]:
    """Return the page, and the anchor on it, of a place in the repository."""
    if target == "README.md":
        for title, text in sections():
            headings = [slug(found[2]) for found in _headings(text)]
            if anchor in headings and title not in _NO_PAGES:
                # The section's own heading is the page's.
                return f"guide/{slug(title)}.md", None if anchor == headings[0] else anchor
        return "index.md", None
    return _MOVED.get(target, target.removeprefix("docs/")), anchor


def sections() -> Iterator[tuple[str, str]]:
    """Give the README's sections: title, and text as a page of its own."""
    title, text = "", list[str]()
    for fenced, line in lines((ROOT / "README.md").read_text(encoding="utf-8")):
        heading = None if fenced else _HEADING.match(line)
        if heading and len(heading[1]) == 2:
            if title:
                yield title, "\n".join(text)
            title, text = heading[2], []
        # What is below it is one level higher, too.
        text.append(line[1:] if heading else line)
    yield title, "\n".join(text)


def lines(markdown: str) -> Iterator[tuple[bool, str]]:
    """Give each line, and whether it is one of code."""
    fenced = False
    for line in markdown.splitlines():
        fence = line.lstrip().startswith("```")
        yield fenced or fence, line
        fenced ^= fence


def _headings(markdown: str) -> Iterator[re.Match[str]]:
    return (
        found for fenced, line in lines(markdown) if not fenced and (found := _HEADING.match(line))
    )


def slug(title: str) -> str:
    """Return a heading's anchor, as GitHub has it."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def command(name: str, where: str) -> str:
    """Return the page of a command, which is made of click's."""
    module, _, function = where.partition(":")
    return f".. click:: fakevm.cli.{module}:{function}\n   :prog: fakevm {name}\n   :nested: full\n"


def public() -> list[str]:
    """Return the classes that `fakevm` itself has."""
    tree = ast.parse((ROOT / "fakevm/__init__.py").read_text(encoding="utf-8"))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return sorted(name.name for node in imported for name in node.names if name.name[0].isupper())


def klass(name: str) -> str:
    """Return the page of a class, which is made of its docstrings."""
    options = "   :members:\n   :inherited-members: Exception\n   :member-order: bysource\n"
    return f"{name}\n{'=' * len(name)}\n\n.. autoclass:: fakevm.{name}\n{options}"


def errors() -> str:
    """Return the page of the errors."""
    words, _, tree = (fakevm.errors.__doc__ or "").partition("\n\n")
    drawn = "\n".join(f"   {line}" for line in tree.splitlines())
    classes = "\n".join(
        f".. autoexception:: fakevm.errors.{name}\n" for name in fakevm.errors.BY_NAME
    )
    return f"Errors\n======\n\n{words}\n\n.. code-block:: text\n\n{drawn}\n\n{classes}"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
