"""What is done for several things side by side ends with Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from fakevm.clients.at_once import each
from fakevm.errors import NotFoundError


def test_what_comes_of_it_is_in_their_order() -> None:
    assert each(lambda n: n * 2, [3, 1, 2]) == [6, 2, 4]
    assert each(str, []) == []


def test_an_interrupt_waits_for_none_of_them() -> None:
    over = threading.Event()
    ended: list[int] = []

    def wait(number: int) -> None:
        over.wait(60)
        ended.append(number)

    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            each(wait, range(3), workers=2)
        assert ended == []
    finally:
        over.set()


def test_a_failure_is_raised_when_those_that_run_have_ended() -> None:
    began, ended = threading.Event(), threading.Event()

    def work(number: int) -> None:
        if number == 0:
            began.wait(60)
            raise NotFoundError("no")
        began.set()
        ended.wait(0.2)
        ended.set()

    with pytest.raises(NotFoundError, match="no"):
        each(work, [0, 1])
    assert ended.is_set()
