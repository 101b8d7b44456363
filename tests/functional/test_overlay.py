"""What lies over the Python of Neutron's programs: a working tree, packages."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import neutron  # type: ignore[import-not-found]
import pytest

TREE = Path("/mnt/tree")
PACKAGES = Path("/mnt/packages")
OVERLAY = Path("/opt/overlay")
SRC = OVERLAY / "now/src/neutron"

AGENT = "plugins/ml2/drivers/openvswitch/agent/ovs_neutron_agent.py"

# There is no package index here.
OFFLINE = {**os.environ, "PIP_NO_INDEX": "1"}


# In a lab it has a container of its own, in which pip takes away what it installs another one of.
APART = (
    *("unshare", "--mount", "sh", "-euc"),
    "mount -t tmpfs tmpfs /media; mkdir /media/upper /media/work;"
    "mount -t overlay -o lowerdir=/opt/neutron,upperdir=/media/upper,workdir=/media/work"
    ' overlay /opt/neutron; exec neutron-overlay "$@"',
    "-",
)

BUILD_SYSTEM = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""

BACKEND = """\
import os, zipfile

def build_wheel(folder, *_):
    name = f"neutron-{{os.environ['PBR_VERSION']}}"
    with zipfile.ZipFile(f"{{folder}}/{{name}}-py3-none-any.whl", "w") as archive:
        info = f"{{name}}.dist-info"
        version = os.environ["PBR_VERSION"]
        archive.writestr(
            f"{{info}}/METADATA", f"Metadata-Version: 2.1\\nName: neutron\\nVersion: {{version}}\\n"
        )
        archive.writestr(f"{{info}}/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        entry = "[{group}]\\nmine = neutron.version:version_info\\n"
        archive.writestr(f"{{info}}/entry_points.txt", entry)
        archive.writestr(f"{{info}}/RECORD", "")
    return f"{{name}}-py3-none-any.whl"
"""


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    for folder in (TREE, PACKAGES, OVERLAY):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def tree() -> Path:
    """A working tree of the image's own release, as a developer has one."""
    own = importlib.metadata.distribution("neutron")
    package = Path(neutron.__path__[0])
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, TREE / "neutron", ignore=ignored)
    required = [line for line in own.requires or () if "extra ==" not in line]
    (TREE / "requirements.txt").write_text("\n".join(["# A comment", *required]), encoding="utf-8")
    lines = ["[metadata]", "name = neutron", "[entry_points]"]
    for group in sorted({one.group for one in own.entry_points}):
        lines.append(f"{group} =")
        for one in own.entry_points.select(group=group):
            lines.append(f"    {one.name} = {one.value}")
    (TREE / "setup.cfg").write_text("\n".join(lines), encoding="utf-8")
    return TREE / "neutron"


def wheel(name: str, *, requires: str = "") -> Path:
    """Make a package with a module and a mechanism driver."""
    path = PACKAGES / "0" / f"{name}-1.0-py3-none-any.whl"
    path.parent.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    if requires:
        metadata += f"Requires-Dist: {requires}\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "ANSWER = 42\n")
        info = f"{name}-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        entry = f"[neutron.ml2.mechanism_drivers]\n{name} = {name}:ANSWER\n"
        archive.writestr(f"{info}/entry_points.txt", entry)
        archive.writestr(f"{info}/RECORD", "")
    return path


def lay(*args: str) -> bool:
    """Lay over what is given; tell whether anything is new."""
    now = OVERLAY / "now"
    before = now.stat().st_mtime_ns if now.exists() else 0
    subprocess.run((*APART, *args), env=OFFLINE, check=True)
    return now.exists() and now.stat().st_mtime_ns > before


def refused(*args: str) -> str:
    done = subprocess.run((*APART, *args), env=OFFLINE, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert not (OVERLAY / "next").exists()
    return done.stderr


def ask(code: str) -> str:
    """Run some Python as Neutron's programs are run."""
    argv = ("python", "-c", code)
    # The tests' own path would go before.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def edit(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_a_tree_is_what_neutron_runs_from_as_it_was_when_it_was_laid(tree: Path) -> None:
    assert lay("--tree", "28.0.2")
    assert ask("import neutron; print(neutron.__file__)") == f"{SRC}/__init__.py"
    # What it requires the image has: pip had nothing to do.
    assert not (OVERLAY / "now/site").exists()
    assert not lay("--tree", "28.0.2")

    edit(tree / AGENT, "\nEDITED = 1\n")
    question = f"from neutron.{AGENT[:-3].replace('/', '.')} import EDITED as it; print(it)"
    assert "EDITED" not in (SRC / AGENT).read_text(encoding="utf-8")
    assert lay("--tree", "28.0.2")
    assert ask(question) == "1"
    assert not lay("--tree", "28.0.2")

    (tree / "hacking").mkdir(exist_ok=True)
    edit_me = tree / "of_its_own.py"
    edit_me.write_text("", encoding="utf-8")
    assert lay("--tree", "28.0.2")
    edit_me.unlink()
    assert lay("--tree", "28.0.2")
    assert not (SRC / "of_its_own.py").exists()

    assert lay()
    assert not ask("import neutron; print(neutron.__file__)").startswith(str(OVERLAY))


@pytest.mark.nightly
def test_a_tree_may_have_migrations_of_its_own_and_the_database_must_be_known(tree: Path) -> None:
    lay("--tree", "28.0.2")
    # No module's name, and what only alembic can run.
    migrations = tree / "db/migration/alembic_migrations"
    mine = migrations / "versions/2026.1/expand/0123456789ab_mine.py"
    mine.write_text('revision = "0123456789ab"\nfrom alembic import op\n', encoding="utf-8")
    edit(migrations / "env.py", "\n# Edited\n")
    assert lay("--database=0123456789ab", "--tree", "28.0.2")
    mine.write_text("if:\n", encoding="utf-8")
    assert "0123456789ab_mine.py:1: SyntaxError" in refused("--tree", "28.0.2")
    mine.unlink()
    for words in (["--tree", "28.0.2"], []):
        done = subprocess.run(
            (*APART, "--database=0123456789ab", *words),
            env=OFFLINE,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout.strip()) == (5, "0123456789ab")
        assert (SRC / mine.relative_to(tree)).exists()
        assert not (OVERLAY / "next").exists()


@pytest.mark.nightly
def test_a_tree_s_own_entry_points_are_installed_and_stay(tree: Path) -> None:
    group = "neutron.ml2.mechanism_drivers"
    edit(TREE / "setup.cfg", f"\n{group}.more =\n    mine = neutron.version:version_info\n")
    # A build system that needs no package index.
    (TREE / "pyproject.toml").write_text(BUILD_SYSTEM, encoding="utf-8")
    (TREE / "backend.py").write_text(BACKEND.format(group=f"{group}.more"), encoding="utf-8")
    assert lay("--tree", "28.0.2")
    question = (
        "from importlib.metadata import entry_points as found;"
        f"print(*found(group='{group}.more').names)"
    )
    assert ask(question) == "mine"
    # What was installed for it is not the image's own: the next look is not taken in.
    assert not lay("--tree", "28.0.2")
    assert ask(question) == "mine"


@pytest.mark.nightly
def test_what_can_t_run_is_refused_and_what_ran_before_does_still(tree: Path) -> None:
    lay("--tree", "28.0.2")
    before = (tree / AGENT).read_text(encoding="utf-8")
    edit(tree / AGENT, "\nif:\n")
    line = before.count("\n") + 2
    assert f"neutron/{AGENT}:{line}: SyntaxError" in refused("--tree", "28.0.2")
    (tree / AGENT).write_text(before + "\nimport nothing_of_this_name\n", encoding="utf-8")
    words = refused("--tree", "28.0.2")
    assert "can't be imported" in words
    assert "No module named 'nothing_of_this_name'" in words
    assert f"{SRC}/{AGENT}" in words
    (TREE / "requirements.txt").write_text("os-ken >== 3\n", encoding="utf-8")
    assert "requirements.txt: " in refused("--tree", "28.0.2")
    (TREE / "requirements.txt").unlink()
    assert "no working tree of Neutron's: it has no requirements.txt" in refused("--tree", "28.0.2")
    assert (SRC / AGENT).read_text(encoding="utf-8") == before


def test_a_package_brings_its_entry_points() -> None:
    mine = wheel("mine")
    assert lay(str(mine))
    assert not lay(str(mine))
    group = "neutron.ml2.mechanism_drivers"
    question = (
        "from importlib.metadata import entry_points as found;"
        f"print(found(group={group!r})['mine'].load(), *found(group={group!r}).names)"
    )
    # Beside those that there are.
    assert {"42", "openvswitch"} < set(ask(question).split())
    assert lay()
    assert "mine" not in ask(question.replace("['mine'].load()", ".names"))


def test_a_package_that_wants_another_neutron_is_refused() -> None:
    words = refused(str(wheel("mine", requires="neutron>=99")))
    assert words.startswith("pip: ")
    assert "mine 1.0 depends on neutron>=99" in words
