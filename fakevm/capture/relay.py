"""Runs in a host, which gets it as it stands: programs side by side, what they say in one stream.

    python3 -c RELAY '[["tcpdump", …], …]'

Whatever comes on stdin, or its end, ends the programs: so nothing is left in the host, also where
who started this was killed. The standard library alone, of whatever Python the host has.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import threading
import time

# A frame: of which kind, of which program, and how many bytes of it follow.
HEADER = struct.Struct(">cHI")
STDOUT, STDERR, END = b"o", b"e", b"x"

# An END's bytes: the exit code, as subprocess has it.
CODE = struct.Struct(">i")

# How long programs may take to end that were asked to.
GRACE_S = 5.0


def main() -> None:
    """Run the programs to their end."""
    try:
        started = [_start(argv) for argv in json.loads(sys.argv[1])]
        threading.Thread(target=_end_with_stdin, args=(started,), daemon=True).start()
        _tell(started)
    except BrokenPipeError:
        os._exit(1)


def _start(argv: list[str]) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, bufsize=0)


def _tell(started: list[subprocess.Popen[bytes]]) -> None:
    """Tell all that the programs say, and each one's end."""
    with selectors.DefaultSelector() as selector:
        open_files = {}
        for number, program in enumerate(started):
            for kind, file in ((STDOUT, program.stdout), (STDERR, program.stderr)):
                selector.register(file, selectors.EVENT_READ, (kind, number))  # type: ignore[arg-type]
            open_files[number] = 2
        while open_files:
            for key, _ in selector.select():
                kind, number = key.data
                if data := os.read(key.fd, 65536):
                    _write(HEADER.pack(kind, number, len(data)) + data)
                    continue
                selector.unregister(key.fileobj)
                open_files[number] -= 1
                if not open_files[number]:
                    del open_files[number]
                    code = CODE.pack(started[number].wait())
                    _write(HEADER.pack(END, number, len(code)) + code)


def _write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


def _end_with_stdin(started: list[subprocess.Popen[bytes]]) -> None:
    """Wait for a word on stdin, or its end; then end the programs, and after a while ourselves."""
    os.read(0, 1)
    for program in started:
        program.send_signal(signal.SIGTERM)
    time.sleep(GRACE_S)
    for program in started:
        program.kill()
    # Perhaps nobody reads what is told.
    time.sleep(GRACE_S)
    os._exit(1)


if __name__ == "__main__":
    main()
