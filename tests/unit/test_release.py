"""A release: its version is the tag's, and its section of the changelog says what is in it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from fakevm.recipe import images, published
from fakevm.recipe.releases import DEFAULT

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


def notes(folder: Path, changelog: str) -> subprocess.CompletedProcess[str]:
    """Run the workflow's script beside a changelog."""
    script = folder / ".github/notes.sh"
    script.parent.mkdir()
    script.write_bytes((ROOT / ".github/notes.sh").read_bytes())
    (folder / "CHANGELOG.md").write_text(changelog, encoding="utf-8")
    argv = ["sh", str(script), "1.2.0"]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_a_release_s_page_has_its_section_alone(tmp_path: Path) -> None:
    text = (
        "# Changelog\n\n## 1.2.10\n\n- ten\n\n## 1.2.0, 2027-01-02\n\n- two\n\n## 1.1.0\n\n- one\n"
    )
    assert notes(tmp_path, text).stdout.strip() == "- two"


def test_a_release_without_a_section_is_refused(tmp_path: Path) -> None:
    done = notes(tmp_path, "# Changelog\n\n## Unreleased\n\n- two\n")
    assert (done.returncode, done.stderr) == (1, "CHANGELOG.md has no section 1.2.0\n")


def bake(*args: str) -> str:
    argv = [sys.executable, str(ROOT / ".github/bake.py"), *args]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout


def test_what_is_published_is_what_up_asks_for() -> None:
    assert DEFAULT in json.loads(bake())
    labels = {target: images.source(target, DEFAULT) for target in images.TARGETS}
    names = {target: published.name(target, label) for target, label in labels.items()}
    assert bake(DEFAULT).split() == list(names.values())
    targets = json.loads(bake(DEFAULT, "arm64"))["target"]
    assert {name: one["tags"] for name, one in targets.items()} == {
        target: [f"{name}-arm64"] for target, name in names.items()
    }
    assert {name: one["labels"]["fakevm.source"] for name, one in targets.items()} == labels
    stages = (ROOT / "images/Dockerfile").read_text(encoding="utf-8")
    assert all(f" AS {target}\n" in stages for target in targets)


def test_the_registry_stands_in_one_place() -> None:
    sources = (*(ROOT / "fakevm").rglob("*.py"), *(ROOT / ".github").rglob("*.py"))
    found = [path.name for path in sources if "ghcr.io" in path.read_text(encoding="utf-8")]
    assert found == ["published.py"]
