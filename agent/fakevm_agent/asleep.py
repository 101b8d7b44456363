"""An agent that nobody asks gives its memory back; the standard library only.

It executes itself: the same process, with none of its libraries and 5 MiB instead of 60, waits on
the same socket and loads them when a client comes. Its VMs need it for nothing meanwhile.

 awake ──nobody asks for a while──► asleep ──a client──► awake
"""

import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from fakevm_agent.kernel.sockets import path_of

_LISTENER = "FAKEVM_AGENT_LISTENER"
ENDS = (signal.SIGTERM, signal.SIGINT)


def fall_asleep(listener: socket.socket) -> NoReturn:
    """Become what waits on this socket; who connects from now on waits there, too."""
    # Until somebody handles them again.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    # host-healthy sees whether it is still this process that sleeps.
    _mark(listener).write_text(f"{os.getpid()}\n", encoding="ascii")
    listener.set_inheritable(True)
    os.environ[_LISTENER] = str(listener.fileno())
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def slept() -> socket.socket | None:
    """Wait for a client if this process fell asleep; return its socket, None if it did not."""
    number = os.environ.pop(_LISTENER, None)
    if number is None:
        return None
    listener = socket.socket(fileno=int(number))
    listener.set_inheritable(False)
    end_by_signal(listener)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
    select.select([listener], [], [])
    return listener


def end_by_signal(listener: socket.socket) -> None:
    """Let a signal end this process at once, until somebody else handles it."""

    def end(*_: object) -> NoReturn:
        path_of(listener).unlink(missing_ok=True)
        wake_up(listener)
        # No exception: what is being imported may catch any.
        os._exit(0)

    for number in ENDS:
        signal.signal(number, end)


def wake_up(listener: socket.socket) -> None:
    """Be awake, also after a sleep that ended with its process."""
    _mark(listener).unlink(missing_ok=True)


def _mark(listener: socket.socket) -> Path:
    # For host-healthy, which is not to wake the agent.
    return path_of(listener).with_name("asleep")
