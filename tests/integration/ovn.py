"""A lab of ML2/OVN."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.conftest import LOGS
from tests.integration.lab import COMPUTES, Lab


@contextmanager
def ovn_lab(beginning: str) -> Iterator[Lab]:
    """Have a lab of ML2/OVN of three compute hosts; its name begins as the session's."""
    ovn = Lab(f"{beginning}-ovn")
    try:
        argv = ("--name", ovn.name, "--computes", str(len(COMPUTES)), "--backend", "ovn")
        ovn.fakevm.ok("up", *argv)
        yield ovn
    finally:
        ovn.save_logs(LOGS / ovn.name)
        ovn.fakevm.ok("down", "--name", ovn.name)
