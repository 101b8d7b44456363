"""A bug report: an archive with what can be seen of a lab, and none of its passwords."""

from __future__ import annotations

import errno
import gzip
import json
import platform
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from fakevm import clients
from fakevm.clients.containers import KEYSTONE, Container
from fakevm.clients.engine import Engine
from fakevm.clients.parts import Parts
from fakevm.clients.process import run
from fakevm.errors import ConfigError, FakevmError, NotFoundError
from fakevm.labs import status
from fakevm.logs import redaction
from fakevm.logs.lines import BATCH
from fakevm.names import project
from fakevm.recipe import config

# How long each command, and each question to Neutron, may take.
COMMAND_S = 20.0

# How long the docker program may take beside a command's own time.
_MORE_S = 10.0

# A part that is larger is on the disk until it is in the archive.
_IN_MEMORY = 1 << 20

# gzip's own default; 9 takes several times as long.
_LEVEL = 6

LIST_BRIDGES = ("ovs-vsctl", "list-br")

# What every host is asked.
HOST_COMMANDS = (
    LIST_BRIDGES,
    ("ovs-vsctl", "show"),
    ("ovs-vsctl", "--format=json", "list", "Interface"),
    ("ovs-vsctl", "--format=json", "list", "Port"),
    ("ip", "-d", "addr"),
    ("ip", "netns"),
)

# What Open vSwitch is asked of each bridge.
BRIDGE_COMMANDS = ("dump-flows", "dump-ports-desc")

DOCKER_VERSION = ("docker", "version", "--format={{json .}}")
COMPOSE_VERSION = ("docker", "compose", "version", "--format=json")

# What Neutron is asked for; without an extension it has no such thing.
COLLECTIONS = (
    *("networks", "subnets", "ports", "routers", "floatingips", "security-groups", "agents"),
    *("trunks", "qos/policies"),
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file of the archive."""

    name: str
    # Its text, in pieces of whole lines.
    text: Callable[[], Iterable[str]]
    # Where it is not found, the archive has no such file.
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class BugReport:
    """What was written, and which parts could not be had."""

    files: tuple[str, ...]
    # Instead of each of these, or after what could be had of it, there is one that ends in .error.
    failed: tuple[str, ...]


def save(lab: Parts, file: Path, *, engine: Engine) -> BugReport:
    """Write the archive to a file: whole, or not at all."""
    # A link stays one.
    target = file.resolve()
    if target.exists() and not target.is_file():
        raise ConfigError(f"{file} is no file")
    half = target.with_name(f"{target.name}.part")
    try:
        with half.open("wb") as out:
            report = write(lab, out, engine=engine, folder=target.parent)
        half.replace(target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FakevmError(
                f"{file}: {error.strerror}; nothing was written",
                hint=f"df -h {target.parent}",
            ) from error
        raise ConfigError(f"{file}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            half.unlink()
    return report


def write(lab: Parts, out: IO[bytes], *, engine: Engine, folder: Path | None = None) -> BugReport:
    """Write the archive; its parts are put together in a folder, by default that for such files."""
    # First of all: without them nothing is written.
    hide = redaction.hiding(secrets(lab.containers, engine=engine))
    files: list[str] = []
    failed: list[str] = []
    writing = threading.Lock()
    place = str(folder) if folder else None
    with (
        gzip.GzipFile(fileobj=out, mode="wb", compresslevel=_LEVEL) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):

        def put(name: str, text: IO[bytes]) -> None:
            found = tarfile.TarInfo(f"{project(lab.name)}-report/{name}")
            found.size = text.tell()
            found.mtime = int(time.time())
            text.seek(0)
            with writing:
                archive.addfile(found, text)
                files.append(name)

        def add(part: Part) -> None:
            with SpooledTemporaryFile(_IN_MEMORY, dir=place) as text:
                try:
                    for piece in part.text():
                        text.write(hide(piece).encode(errors="replace"))
                except NotFoundError as error:
                    if part.optional:
                        return
                    complaint = described(error)
                except FakevmError as error:
                    complaint = described(error)
                else:
                    complaint = ""
                if text.tell() or not complaint:
                    put(part.name, text)
            if complaint:
                failed.append(part.name)
                with SpooledTemporaryFile(_IN_MEMORY, dir=place) as text:
                    text.write(hide(complaint).encode(errors="replace"))
                    put(f"{part.name}.error", text)

        clients.at_once.each(add, parts(lab, engine=engine))
    return BugReport(files=tuple(sorted(files)), failed=tuple(sorted(failed)))


def described(error: FakevmError) -> str:
    """Return an error as the file that stands for its part has it."""
    notes = getattr(error, "__notes__", ())
    hint = [f"Hint: {error.hint}"] if error.hint else []
    return "".join(f"{line}\n" for line in (str(error), *notes, *hint))


def secrets(containers: Iterable[Container], *, engine: Engine) -> set[str]:
    """Return the lab's passwords, by what its containers were given."""

    def environment(container: Container) -> Mapping[str, str]:
        # One that goes meanwhile has none that no other has.
        with suppress(NotFoundError):
            return engine.recipe(container).environment
        return {}

    return redaction.secrets_of(clients.at_once.each(environment, list(containers)))


def parts(lab: Parts, *, engine: Engine) -> list[Part]:
    """Return what the archive has."""
    hosts = [container for container in lab.containers if container.is_host]
    running = [container for container in hosts if container.running]
    asked = clients.at_once.each(partial(_bridges, lab), running)
    bridges = {host.service: found for host, found in zip(running, asked, strict=True)}
    return [
        # What takes longest begins first.
        *(
            Part(name=f"logs/{one.service}.log", text=partial(_log, one, engine))
            for one in lab.containers
        ),
        Part(name="status.json", text=lambda: [_json(asdict(status.of(lab)))]),
        *(
            Part(
                name=f"neutron/{name.replace('/', '-')}.json",
                text=partial(_objects, lab, name),
                optional=True,
            )
            for name in COLLECTIONS
        ),
        *(
            Part(
                name=f"configuration/{one.service}.json",
                text=partial(_configuration, lab, one.service),
            )
            for one in lab.containers
            if one.has_neutron or one.service == KEYSTONE
        ),
        *(part for host in hosts for part in _host_parts(lab, host, bridges)),
        *(
            _command(lab, f"services/{service}", service, argv)
            for service, argv in lab.backend.inspected
        ),
        Part(name="events.jsonl", text=lambda: _events(lab)),
        *_versions(lab, running),
    ]


def _host_parts(
    lab: Parts, host: Container, bridges: Mapping[str, Sequence[str]]
) -> Iterator[Part]:
    folder = f"hosts/{host.service}"
    if not host.running:
        # Once, and not for each command.
        yield Part(name=f"{folder}/commands", text=partial(_output, lab, host.service, ()))
        return
    for argv in HOST_COMMANDS:
        yield _command(lab, folder, host.service, argv)
    for bridge in bridges[host.service]:
        for what in BRIDGE_COMMANDS:
            yield _command(lab, folder, host.service, ("ovs-ofctl", what, bridge))


def _versions(lab: Parts, hosts: Sequence[Container]) -> Iterator[Part]:
    def ours() -> list[str]:
        found = {
            "fakevm": version("fakevm"),
            "python": platform.python_version(),
            "system": platform.platform(),
        }
        return [_json(found)]

    def images() -> list[str]:
        found = {
            one.service: {"source": one.source, "neutron": one.release, "state": one.state}
            for one in lab.containers
        }
        return [_json(found)]

    yield Part(name="versions/fakevm.json", text=ours)
    yield Part(name="versions/images.json", text=images)
    # The kernel's, too.
    yield Part(name="versions/docker.json", text=partial(_said, DOCKER_VERSION))
    yield Part(name="versions/compose.json", text=partial(_said, COMPOSE_VERSION))
    for host in hosts[:1]:
        for argv in lab.backend.versions:
            yield _command(lab, "versions", host.service, argv)


def _command(lab: Parts, folder: str, service: str, argv: Sequence[str]) -> Part:
    return Part(name=f"{folder}/{file_name(argv)}", text=partial(_output, lab, service, argv))


def file_name(argv: Sequence[str]) -> str:
    """Return what a command's output is called: ovs-vsctl-list-Port.json."""
    kind = "json" if "--format=json" in argv else "txt"
    return "-".join(word for word in argv if not word.startswith("-")) + f".{kind}"


def _output(lab: Parts, service: str, argv: Sequence[str]) -> list[str]:
    """Return what a command says in a service or host; UnavailableError: that does not run."""
    container = lab.service(service)
    # What hangs ends in its container, too.
    return _said(("docker", "exec", container.name, "timeout", f"{COMMAND_S:g}", *argv))


def _said(argv: Sequence[str]) -> list[str]:
    return [run(argv, timeout_s=COMMAND_S + _MORE_S)]


def _bridges(lab: Parts, host: Container) -> list[str]:
    """Return a host's bridges; none where it does not tell, of which its own part has the error."""
    with suppress(FakevmError):
        return "".join(_output(lab, host.service, LIST_BRIDGES)).split()
    return []


def _log(container: Container, engine: Engine) -> Iterator[str]:
    lines = (line.decode(errors="replace") for line in engine.log(container))
    while batch := list(islice(lines, BATCH)):
        yield "".join(f"{line}\n" for line in batch)


def _configuration(lab: Parts, service: str) -> list[str]:
    return [_json([asdict(one) for one in config.settings_of(lab, service)])]


def _objects(lab: Parts, name: str) -> list[str]:
    return [_json(lab.neutron.answer(f"/{name}"))]


def _events(lab: Parts) -> Iterator[str]:
    for entry in lab.events.kept():
        yield json.dumps(asdict(entry), ensure_ascii=False) + "\n"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
