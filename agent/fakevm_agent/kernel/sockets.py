"""Unix sockets to listen on; the standard library only."""

import os
import socket
from pathlib import Path

_QUEUE = 1024


def listen(path: Path) -> socket.socket:
    """Return a socket that listens there; it is root's alone from the beginning."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    umask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(umask)
    # Of who comes while nobody takes them.
    listener.listen(_QUEUE)
    return listener


def path_of(listener: socket.socket) -> Path:
    """Return where a socket listens."""
    return Path(listener.getsockname())
