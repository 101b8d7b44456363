"""How Sphinx makes the site: `make docs`."""

from __future__ import annotations

import re
from importlib.metadata import version as installed
from typing import Any

project = "fakevm"
version = release = installed("fakevm")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click"]

# The anchors of headings are GitHub's.
myst_heading_anchors = 4

# In docstrings, as in Markdown, what is in backticks is code, and -- is an option's.
default_role = "literal"
smartquotes = False

html_theme = "furo"
html_title = "fakevm"
html_show_copyright = False


def setup(app: Any) -> None:
    """Let sphinx-click take help texts as they are: `OS_…` is no reference."""

    def escape(_app: Any, _context: Any, lines: list[str]) -> None:
        lines[:] = [re.sub(r"(?<=\w)_(?!\w)", r"\\_", line) for line in lines]

    app.connect("sphinx-click-process-options", escape)
    app.connect("sphinx-click-process-description", escape)
