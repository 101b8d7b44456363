"""A release: its version is the tag's, and its section of the changelog says what is in it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_version_stands_in_no_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    # The images' build has no git, and the sources' hash no commit.
    dockerfile = (ROOT / "images/Dockerfile").read_text(encoding="utf-8")
    assert "ENV SETUPTOOLS_SCM_PRETEND_VERSION_FOR_FAKEVM=" in dockerfile


def test_the_changelog_has_a_section_for_each_release() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert titles
    assert len(set(titles)) == len(titles)
    for title in titles:
        assert re.fullmatch(r"Unreleased|\d+\.\d+\.\d+(, \d{4}-\d\d-\d\d)?", title)
