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
