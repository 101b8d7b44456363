"""The set-up of Docker, with programs that do nothing in place of those it calls."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "compose/ensure-docker.sh"

PROGRAMS = {
    # An engine that takes a connection and says nothing.
    "docker": "exec sleep 60",
    # Ten seconds are long.
    "timeout": 'shift; exec /usr/bin/timeout 0.1 "$@"',
    "id": "echo 0",
    **dict.fromkeys(("apt-cache", "apt-get", "dockerd", "setsid", "sudo", "systemctl"), "exit 0"),
}


def test_an_engine_that_never_answers_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    script = SCRIPT.read_text(encoding="utf-8").replace("DEADLINE=60", "DEADLINE=1")
    for folder in ("/var/log", "/var/run"):
        script = script.replace(folder, str(tmp_path))
    (tmp_path / "dockerd.log").write_text("what dockerd said\n", encoding="utf-8")
    (tmp_path / "ensure-docker.sh").write_text(script, encoding="utf-8")
    done = subprocess.run(
        ("sh", tmp_path / "ensure-docker.sh"),
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert "what dockerd said" in done.stderr
    assert "did not answer within 1 s" in done.stderr
