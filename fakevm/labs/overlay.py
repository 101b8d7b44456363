"""What lies over the Python of a lab's images: a working tree of Neutron's, and packages."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from fakevm.clients.engine import PROJECT_LABEL, Engine
from fakevm.clients.parts import Parts
from fakevm.clients.process import ExitError, run
from fakevm.errors import ConfigError
from fakevm.labs.settings import NEUTRON_SRC, NOTHING, PACKAGES, Existing, Settings
from fakevm.labs.share import ca_bundle
from fakevm.names import LAB_LABEL, project

# Compose's name of the volume, and its label for it.
_VOLUME = "python"
_VOLUME_LABEL = "com.docker.compose.volume"

# Where neutron-overlay finds what it is given.
_TREE = "/mnt/tree"
_PACKAGES = "/mnt/packages"

# pip's work is a download and a build for each package.
LAY_S = 600.0

# What pip is told of this machine's way to the package index.
_PASSED_ON = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)


def lay(wanted: Settings, existing: Existing, *, engine: Engine) -> bool:
    """Lay a lab's tree and packages over its images' Python; tell whether anything is new.

    ConfigError says what is wrong with them; what lay there before does so still.
    """
    had = existing.handed(NEUTRON_SRC) not in ("", str(NOTHING)) or existing.packages
    if not (wanted.neutron_src or wanted.packages or had):
        return False
    labels = {
        LAB_LABEL: wanted.lab,
        PROJECT_LABEL: project(wanted.lab),
        _VOLUME_LABEL: _VOLUME,
    }
    # Compose's would be made with the containers.
    engine.create_volume(_volume(wanted.lab), labels)
    try:
        return _lay(wanted.lab, wanted.neutron_version, wanted.neutron_src, wanted.packages)
    except BaseException:
        if not existing.containers:
            engine.delete_volume(_volume(wanted.lab))
        raise


def renew(lab: Parts, *, engine: Engine) -> bool:
    """Lay over what the lab was given as it is by now; tell whether anything is new."""
    recipe = engine.recipe(lab.service("neutron-api"))
    src = Path(recipe.environment.get(NEUTRON_SRC.environment) or NOTHING)
    packages = json.loads(recipe.environment.get(PACKAGES.environment) or "[]")
    if src == NOTHING and not any(map(is_path, packages)):
        return False
    release = recipe.image.rpartition(":")[2]
    return _lay(lab.name, release, None if src == NOTHING else src, packages)


def is_path(spec: str) -> bool:
    """Tell whether pip would take this for a file or a folder."""
    return os.sep in spec and "://" not in spec


def mount(lab: str, *how: str) -> str:
    """Return how Docker mounts what lies over a lab's images."""
    return ",".join((f"type=volume,source={_volume(lab)},target=/opt/overlay", *how))


def _volume(lab: str) -> str:
    return f"{project(lab)}_{_VOLUME}"


def _lay(lab: str, release: str, src: Path | None, packages: Sequence[str]) -> bool:
    for path in filter(is_path, [*packages, *([str(src)] if src else [])]):
        if not Path(path).exists():
            raise ConfigError(
                f"{path}, which the lab {lab!r} runs with, is gone",
                hint="fakevm up --neutron-src or --package with another one, or with --no-… to do"
                " without",
            )
    mounts = [mount(lab)]
    program = ["neutron-overlay"]
    # What neutron-overlay calls what the user gave, and what the user calls it.
    names = {_TREE: "the working tree"}
    if src:
        mounts.append(f"type=bind,source={src},target={_TREE},readonly")
        program += ["--tree", release]
    for number, spec in enumerate(packages):
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
        *("docker", "run", "--rm"),
        *(word for mount in mounts for word in ("--mount", mount)),
        *(word for setting in settings for word in ("--env", setting)),
        f"fakevm/neutron:{release}",
        *program,
    ]
    try:
        said = run(argv, timeout_s=LAY_S)
    except ExitError as error:
        # The others are Docker's own.
        if error.status != 1:
            raise
        words = error.output
        for inside, name in names.items():
            words = words.replace(inside, name)
        given = ", ".join([str(src)] if src else []) or ", ".join(packages)
        raise ConfigError(f"{given}: {words}") from error
    return bool(json.loads(said)["changed"])
