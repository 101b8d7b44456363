"""Who is in a network namespace is told while processes come and go."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fakevm_agent.kernel import processes

ENDED = 2000


def test_processes_that_end_meanwhile_are_passed_over() -> None:
    own = Path("/proc/self/ns/net").stat()
    with ThreadPoolExecutor(2) as pool:
        ending = [pool.submit(subprocess.run, ["true"], check=True) for _ in range(ENDED)]
        while not all(one.done() for one in ending):
            assert os.getpid() in processes.inside((own.st_dev, own.st_ino))


def test_a_command_s_name_may_be_cut_in_the_midst_of_a_character(tmp_path: Path) -> None:
    # 15 bytes of it are kept: seven letters, and half of the next one.
    program = tmp_path / "проверка-сети"
    program.symlink_to("/bin/sleep")
    own = Path("/proc/self/ns/net").stat()
    with subprocess.Popen([program, "600"]) as running:
        try:
            found = processes.inside((own.st_dev, own.st_ino))
            assert found[running.pid].startswith("проверк")
        finally:
            running.kill()
