"""The GitHub Action and the workflows: as GitHub's schemas have them, and of one mind."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

ACTIONS = [ROOT / "action.yml", ROOT / "action/evidence/action.yml"]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def check(schema: str, *paths: Path) -> None:
    """See that files are as a schema has them that check-jsonschema brings along."""
    program = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [program, "--builtin-schema", f"vendor.{schema}", *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def example() -> str:
    """Return the README's workflow."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(
        r"^```yaml\n(# \.github/workflows/.*?)^```", text, re.DOTALL | re.MULTILINE
    )
    return str(found)


def test_workflows_and_actions_are_as_github_has_them(tmp_path: Path) -> None:
    readme = tmp_path / "lab.yml"
    readme.write_text(example(), encoding="utf-8")
    check("github-workflows", *WORKFLOWS, readme)
    check("github-actions", *ACTIONS)


@pytest.mark.parametrize("path", ACTIONS, ids=lambda path: path.parent.name)
def test_an_action_uses_what_it_declares(path: Path) -> None:
    action = read(path)
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == action["inputs"].keys()
    steps = action["runs"]["steps"]
    ids = {step["id"] for step in steps if "id" in step}
    assert set(re.findall(r"steps\.([\w-]+)\.", text)) <= ids
    for step in steps:
        # Text of an input may be anything, and is no part of a command.
        assert "${{" not in step.get("run", "")
        for script in re.findall(r"GITHUB_ACTION_PATH/([\w./]+)", step.get("run", "")):
            assert (path.parent / script).is_file()


def test_what_others_wrote_is_pinned_by_its_commit() -> None:
    for path in (*ACTIONS, *WORKFLOWS):
        for used in re.findall(r"uses: (\S+)", path.read_text(encoding="utf-8")):
            if not used.startswith(("./", "actions/")):
                assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used), f"{path.name}: {used}"


def test_the_readme_s_workflow_is_short_and_has_the_action_s_words() -> None:
    assert len(example().splitlines()) <= 20
    (job,) = yaml.safe_load(example())["jobs"].values()
    ours = {step["uses"]: step for step in job["steps"] if "fakevm" in step.get("uses", "")}
    assert len({name.partition("@")[2] for name in ours}) == 1
    for name, step in ours.items():
        folder = name.partition("@")[0].removeprefix("fakevm/fakevm").strip("/")
        declared = read(ROOT / folder / "action.yml")["inputs"]
        assert step.get("with", {}).keys() <= declared.keys()
