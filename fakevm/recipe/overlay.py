"""What lies over the Python of a lab's images: a working tree of Neutron's, and packages."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fakevm import clients
from fakevm.clients.containers import PROJECT_LABEL, Container
from fakevm.clients.engine import Engine
from fakevm.clients.parts import Parts
from fakevm.clients.process import ExitError, run
from fakevm.errors import ConfigError, ConflictError, WaitTimeoutError
from fakevm.names import LAB_LABEL, project
from fakevm.protocol.lock import exclusive_lab
from fakevm.recipe import config
from fakevm.recipe.settings import NEUTRON_SRC, NOTHING, Existing, Settings
from fakevm.recipe.share import ca_bundle

# Compose's name of the volume, and its label for it.
_VOLUME = "python"
_VOLUME_LABEL = "com.docker.compose.volume"

# Where neutron-overlay finds what it is given.
_TREE = "/mnt/tree"
_PACKAGES = "/mnt/packages"

# pip's work is a download and a build for each package.
LAY_S = 600.0

# neutron-overlay's exit codes: it can't be made; the configuration, the database is none for it.
_REFUSED, _CONFIG, _DATABASE = 1, 4, 5

# Asks the database's container which of Neutron's migrations it is at.
_AT = (
    "MYSQL_PWD=$DATABASE_PASSWORD exec mariadb --host 127.0.0.1 --user neutron --batch"
    " --skip-column-names --execute 'SELECT version_num FROM alembic_version' neutron"
)

# What pip is told of this machine's way to the package index.
_PASSED_ON = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """What is to lie over a lab's Python."""

    lab: str
    release: str
    # A working tree; None: the release itself.
    src: Path | None
    # What pip is to install.
    packages: tuple[str, ...]

    @property
    def paths(self) -> list[str]:
        """What of it is on this machine."""
        return [*filter(is_path, self.packages), *([str(self.src)] if self.src else [])]


def lay(
    wanted: Settings, existing: Existing, *, engine: Engine, say: Callable[[str], None]
) -> bool:
    """Lay a lab's tree and packages over its images' Python; tell whether there are or were any.

    With them the lab's configuration is checked, too. ConfigError says what is wrong; what lay
    there before does so still.
    """
    before = _of(wanted.lab, existing)
    if not (wanted.neutron_src or wanted.packages or before.src or before.packages):
        return False
    labels = {
        LAB_LABEL: wanted.lab,
        PROJECT_LABEL: project(wanted.lab),
        _VOLUME_LABEL: _VOLUME,
    }
    # Compose's would be made with the containers.
    engine.create_volume(_volume(wanted.lab), labels)
    overlay = Overlay(
        lab=wanted.lab,
        release=wanted.neutron_version,
        src=wanted.neutron_src,
        packages=wanted.packages,
    )
    try:
        said = _lay(
            overlay, existing.containers, docker=config.options(wanted), check="--check-config"
        )
    except ExitError as error:
        if error.status != _CONFIG:
            raise
        raise config.refused(wanted, json.loads(error.output)["error"]) from error
    finally:
        if not existing.containers and sys.exception():
            engine.delete_volume(_volume(wanted.lab))
    config.warn(wanted, json.loads(said)["warnings"], say=say)
    return True


def renew(lab: Parts) -> None:
    """Lay over what the lab was given as it is by now; what starts from then on runs with it."""
    wanted = _of(lab.name, Existing(recipes={"neutron-api": lab.api_recipe}))
    if wanted.paths:
        with exclusive_lab(lab.name):
            _lay(wanted, lab.containers)


def _of(lab: str, existing: Existing) -> Overlay:
    """Return what a lab was given to lie over its Python."""
    src = Path(existing.handed(NEUTRON_SRC) or NOTHING)
    return Overlay(
        lab=lab,
        release=existing.neutron_version,
        src=None if src == NOTHING else src,
        packages=existing.packages,
    )


def older(lab: Parts) -> list[str]:
    """Return the services and hosts where a process runs that is older than what lies over it."""
    # neutron-config leaves a file for each that it starts. What was stopped on purpose stays so.
    ask = (
        "[ -e /opt/overlay/now ] && find /run/neutron/config -type f ! -newer /opt/overlay/now"
        " -exec sh -c '[ ! -e /run/fakevm/outages/stop-${1##*/} ]' - {} ';' -print"
    )

    def is_older(container: Container) -> bool:
        return bool(run(("docker", "exec", container.name, "sh", "-c", f"{ask} || true")))

    running = [c for c in lab.containers if c.running and c.has_neutron]
    found = clients.at_once.each(is_older, running)
    return [c.service for c, old in zip(running, found, strict=True) if old]


def is_path(spec: str) -> bool:
    """Tell whether pip would take this for a file or a folder."""
    return os.sep in spec and "://" not in spec


def _volume(lab: str) -> str:
    return f"{project(lab)}_{_VOLUME}"


def _lay(
    wanted: Overlay,
    containers: Iterable[Container],
    *,
    docker: Sequence[str] = (),
    check: str = "",
) -> str:
    """Let neutron-overlay do it; return what it prints.

    `containers`: the lab's; `docker`: more options of `docker run`.
    """
    for path in wanted.paths:
        if not Path(path).exists():
            raise ConfigError(
                f"{path}, which the lab {wanted.lab!r} runs with, is gone",
                hint="fakevm up with another --neutron-src or --package, or with --no-neutron-src"
                " or --no-package",
            )
    mounts = [f"type=volume,source={_volume(wanted.lab)},target=/opt/overlay"]
    program = ["neutron-overlay", *filter(None, [check])]
    program += [f"--database={revision}" for revision in _revisions(containers)]
    # What neutron-overlay calls what the user gave, and what the user calls it.
    names = {}
    if wanted.src:
        mounts.append(f"type=bind,source={wanted.src},target={_TREE},readonly")
        program += ["--tree", wanted.release]
        names[_TREE] = str(wanted.src)
    for number, spec in enumerate(wanted.packages):
        inside = spec
        if is_path(spec):
            inside = f"{_PACKAGES}/{number}/{Path(spec).name}"
            mounts.append(f"type=bind,source={spec},target={inside},readonly")
            names[inside] = spec
        program.append(inside)
    settings = [f"{name}={os.environ[name]}" for name in _PASSED_ON if name in os.environ]
    if bundle := ca_bundle():
        mounts.append(f"type=bind,source={bundle},target=/run/ca.pem,readonly")
        settings.append("PIP_CERT=/run/ca.pem")
    argv = [
        *("docker", "run", "--rm", *docker),
        *(f"--mount={mount}" for mount in mounts),
        *(f"--env={setting}" for setting in settings),
        # The host's image has every file that the user may lay another one over.
        *(f"fakevm/host:{wanted.release}", *program),
    ]
    try:
        return run(argv, timeout_s=LAY_S)
    except ExitError as error:
        place = wanted.src or ", ".join(wanted.packages) or f"Neutron {wanted.release}"
        if error.status == _DATABASE:
            raise ConflictError(
                f"{place} has no migration {error.output}, which the database of the lab"
                f" {wanted.lab!r} is at: none can be downgraded",
                hint=f"fakevm down --name {wanted.lab}, and fakevm up again",
            ) from error
        if error.status != _REFUSED:
            raise
        words = error.output
        for inside, name in names.items():
            words = words.replace(inside, name)
        raise ConfigError(f"{place}: {words}") from error


def _revisions(containers: Iterable[Container]) -> list[str]:
    """Return which of Neutron's migrations a lab's database is at; none, if it can't be asked."""
    database = next((c for c in containers if c.role == "mariadb" and c.running), None)
    if database is None:
        return []
    with suppress(ExitError, WaitTimeoutError):
        return run(("docker", "exec", database.name, "sh", "-c", _AT), timeout_s=30).split()
    return []
