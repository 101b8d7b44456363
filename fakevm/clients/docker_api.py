"""The engine's API by the docker package: the only module that imports it.

With what it brings it takes 0.2 s, which not every command needs.
"""

from __future__ import annotations

import io
import os
import struct
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import docker
from docker import constants, errors
from docker.types import CancellableStream
from requests import exceptions

from fakevm.clients.engine import WORK_S, silent, unreachable
from fakevm.errors import ConflictError, FakevmError, NotFoundError


def connect() -> docker.APIClient:
    """Return a client of the engine that the docker program would use."""
    with translated():
        if os.environ.get("DOCKER_HOST"):
            return docker.from_env(timeout=WORK_S).api
        context = docker.ContextAPI.get_current_context()
        tls = (context and context.TLSConfig) or False
        host = context.Host if context else None
        return docker.APIClient(base_url=host, tls=tls, version="auto", timeout=WORK_S)


def endpoint() -> str:
    """Return where that engine is: unix:///var/run/docker.sock, ssh://…, tcp://…."""
    with translated():
        context = docker.ContextAPI.get_current_context()
        named = os.environ.get("DOCKER_HOST") or (context.Host if context else None)
        return named or constants.DEFAULT_UNIX_SOCKET.replace("http+unix", "unix")


@contextmanager
def translated() -> Iterator[None]:
    """Raise the docker package's errors as ours."""
    try:
        yield
    except errors.APIError as error:
        kinds: dict[int | None, type[FakevmError]] = {404: NotFoundError, 409: ConflictError}
        kind = kinds.get(error.status_code, FakevmError)
        raise kind(f"Docker: {error.explanation or error}") from error
    except exceptions.Timeout as error:
        raise silent(WORK_S) from error
    except (errors.DockerException, exceptions.RequestException) as error:
        raise unreachable(str(error)) from error


def unpacked(chunks: Iterable[bytes]) -> bytes | None:
    """Return what is in the one file of an archive; None: it is no file."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        found = archive.extractfile(archive.getmembers()[0])
        return None if found is None else found.read()


def messages(stream: CancellableStream[bytes]) -> Iterator[bytes]:
    """Yield the messages of a log, to its end, or until the engine hangs up."""
    # Of a message that is cut off the package can't read the head.
    with translated(), suppress(struct.error):
        yield from stream


def hang_up(stream: CancellableStream[bytes]) -> None:
    """End a log's stream, which another thread may wait for; by ssh it ends with its container."""
    with suppress(FakevmError, OSError), translated():
        stream.close()
