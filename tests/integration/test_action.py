"""The GitHub Action, its steps run with bash as a runner runs them."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.hosts import container_ids, docker
from tests.integration.plain import ROOT

pytestmark = pytest.mark.nightly

# What an action's steps may tell the job, by the variable that names the file.
FILES = ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH")


@dataclass
class Runner:
    """As much of a runner as the action asks for: inputs, outputs, variables, conditions."""

    folder: Path
    status: str = "success"
    cache_hit: bool = False
    env: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    post: str = ""

    def __post_init__(self) -> None:
        # No venv of ours, nor what says where our code is.
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        self.env = {
            **{name: value for name, value in kept.items() if not name.startswith("FAKEVM_")},
            "FAKEVM_CA_BUNDLE": os.environ.get("FAKEVM_CA_BUNDLE", "/dev/null"),
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "RUNNER_TEMP": str(self.folder),
        }

    def use(self, action: Path, **given: str) -> None:
        """Run an action's steps, in a job's folder."""
        document = yaml.safe_load((action / "action.yml").read_text(encoding="utf-8"))
        inputs = {name: one["default"] for name, one in document["inputs"].items()} | given
        for step in document["runs"]["steps"]:
            if all(self._true(term, inputs) for term in step.get("if", "").split(" && ")):
                self._step(step, action, inputs)

    def end(self) -> None:
        """Run the post step, as which the action has one command."""
        command = self._filled(self.post, {})
        self._bash(command, {})

    def _step(self, step: dict[str, Any], action: Path, inputs: dict[str, str]) -> None:
        if "uses" in step:
            if "post" in step.get("with", {}):
                # The status is the job's at its end.
                self.post = self._filled(step["with"]["post"], inputs, but="job.status")
            if step["uses"].startswith("actions/cache@"):
                self.outputs[step["id"]] = {"cache-hit": str(self.cache_hit).lower()}
            return
        env = {k: self._filled(v, inputs) for k, v in step.get("env", {}).items()}
        told = self._bash(step["run"], {**env, "GITHUB_ACTION_PATH": str(action)})
        self.outputs[step.get("id", "")] = dict(_pairs(told["GITHUB_OUTPUT"]))
        self.env |= dict(_pairs(told["GITHUB_ENV"]))
        for path in told["GITHUB_PATH"].split():
            self.env["PATH"] = f"{path}:{self.env['PATH']}"

    def _bash(self, script: str, env: dict[str, str]) -> dict[str, str]:
        files = {name: self.folder / name for name in FILES}
        for path in files.values():
            path.write_text("", encoding="utf-8")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env={**self.env, **env, **{name: str(path) for name, path in files.items()}},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return {name: path.read_text(encoding="utf-8") for name, path in files.items()}

    def _filled(self, text: str, inputs: dict[str, str], *, but: str = "") -> str:
        def value(found: re.Match[str]) -> str:
            return found[0] if found[1] == but else self._value(found[1], inputs)

        return re.sub(r"\$\{\{ (\S+) \}\}", value, text)

    def _value(self, name: str, inputs: dict[str, str]) -> str:
        match name.split("."):
            case ["inputs", of]:
                return inputs[of]
            case ["steps", step, "outputs", of]:
                return self.outputs.get(step, {}).get(of, "")
            case ["job", "status"]:
                return self.status
            case ["runner", "arch"]:
                return "X64"
        raise AssertionError(name)

    def _true(self, term: str, inputs: dict[str, str]) -> bool:
        if not term:
            return True
        name, operator, wanted = term.split()
        return (self._value(name, inputs) == wanted.strip("'")) is (operator == "==")


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, value = line.partition("=")
        yield name, value


@pytest.fixture
def runner(tmp_path: Path, lab_name: str) -> Iterator[Runner]:
    runner = Runner(tmp_path)
    yield runner
    if container_ids(f"{lab_name}-action"):
        runner.end()


def test_a_job_has_a_lab_and_leaves_its_evidence_and_nothing_else(
    runner: Runner, lab_name: str
) -> None:
    name = f"{lab_name}-action"
    runner.use(ROOT, name=name, computes="1", args="--api-port '19796'", packages="tomli")
    assert runner.env["FAKEVM_LAB"] == name
    assert runner.outputs["up"]["cloud"] == runner.env["OS_CLOUD"]
    ask = "import openstack, tomli; print(*(a.host for a in openstack.connect().network.agents()))"
    told = runner.folder / "agents"
    runner._bash(f'python -c "{ask}" >{told}; fakevm status', {})
    assert set(told.read_text(encoding="utf-8").split()) == {"compute-1", "network-1"}

    # What the next job finds in the cache.
    archive = Path(runner.outputs["images"]["archive"])
    host = docker("ps", "--filter", f"name=fakevm-{name}-compute-1", "--format", "{{.Image}}")
    assert archive.stat().st_size > 1 << 20
    runner.cache_hit, key = True, runner.outputs["images"]["key"]
    runner.use(ROOT, name=name, computes="1", args="--api-port '19796'", packages="tomli")
    assert runner.outputs["images"]["key"] == key
    assert not archive.exists()
    assert docker("image", "inspect", "--format", "{{.Id}}", host.strip())

    runner.status = "failure"
    runner.use(ROOT / "action/evidence", name=name)
    with tarfile.open(runner.folder / "fakevm-evidence" / f"{name}.tgz") as kept:
        assert any("compute-1" in member for member in kept.getnames())
    runner.end()
    assert not container_ids(name)


def test_what_is_no_lab_s_name_is_refused_before_anything_is_done(runner: Runner) -> None:
    with pytest.raises(AssertionError, match="no lab's name"):
        runner.use(ROOT, name='x"; touch here; "')
    assert not runner.env.get("FAKEVM_LAB")
    assert not (runner.folder / "fakevm").exists()
