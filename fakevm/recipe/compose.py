"""`docker compose` for one lab."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from fakevm.clients import process
from fakevm.clients.containers import L2_AGENT_LABEL, Container, Network
from fakevm.errors import ConflictError, UnavailableError
from fakevm.names import LAB_LABEL, NOVA, project
from fakevm.neutron.login import Login
from fakevm.recipe.settings import (
    CONFIG,
    KEYSTONE_PASSWORD,
    NEUTRON_SRC,
    NOTHING,
    PACKAGES,
    Settings,
    options_of,
)
from fakevm.recipe.share import build_context, ca_bundle

# `include` in a Compose file.
COMPOSE_VERSION = (2, 20)

BASE_IMAGE = "debian:trixie-slim"


def environment(wanted: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for `docker compose`: the user's, and the lab's variables."""
    # Compose's own variables would name another project or other files.
    kept = {name: value for name, value in environ.items() if not name.startswith("COMPOSE_")}
    return {
        **kept,
        "FAKEVM_LAB": wanted.lab,
        "FAKEVM_NEUTRON_VERSION": wanted.neutron_version,
        "FAKEVM_API_PORT": str(wanted.api_port),
        "FAKEVM_KEYSTONE_PORT": str(wanted.keystone_port),
        **{one.variable: wanted.options[one.name] for one in options_of(wanted.backend)},
        **{f"FAKEVM_{role.upper()}_SUBNET": subnet for role, subnet in wanted.subnets.items()},
        # Empty in a lab without Keystone, whatever the user's environment has.
        KEYSTONE_PASSWORD.variable: "",
        "FAKEVM_KEYSTONE_LOGIN": _nova(wanted),
        **wanted.passwords,
        CONFIG.variable: str(wanted.config or NOTHING),
        NEUTRON_SRC.variable: str(wanted.neutron_src or NOTHING),
        PACKAGES.variable: json.dumps(wanted.packages),
    }


def _nova(wanted: Settings) -> str:
    """Return how the user nova asks for a token; "" in a lab without Keystone."""
    if not wanted.has_keystone:
        return ""
    username, of = NOVA
    password = wanted.passwords[KEYSTONE_PASSWORD.variable]
    # Where it is, a host has been told.
    return Login(auth_url="", username=username, project=of, password=password).request()


def document(default: Mapping[str, Any], wanted: Settings) -> dict[str, Any]:
    """Return a backend's document with other compute hosts, each made as its first one."""
    first = default["services"]["compute-1"]
    services = {host: {**first, "hostname": host} for host in wanted.hosts}
    for host, release in wanted.host_neutron.items():
        services[host]["image"] = f"fakevm/host:{release}"
        if wanted.neutron_src or wanted.packages:
            # They are of the lab's release.
            services[host]["environment"] = {"FAKEVM_OVERLAY": "/nowhere"}
            option = wanted.backend.l2_agent_option
            if option and wanted.options[option.name]:
                # So is an L2 agent that they bring.
                services[host]["environment"][option.environment] = ""
                services[host]["labels"] = {L2_AGENT_LABEL: ""}
    included = list(default["include"])
    if wanted.has_keystone:
        # Beside the fragments of every backend.
        common = next(path for path in included if path.endswith("common.yml"))
        included.append(common.replace("common.yml", "keystone.yml"))
    return {**default, "include": included, "services": services}


class Compose:
    """`docker compose` for one lab."""

    def __init__(
        self,
        wanted: Settings,
        root: Path,
        *,
        make: Callable[[Mapping[str, Any], Settings], dict[str, Any]] = document,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`make` returns the document, of the backend's and of what is wanted.

        `variables`: Compose's, beside those of what is wanted.
        """
        self._make = make
        self._wanted = wanted
        self._root = root
        self._env = {**environment(wanted, os.environ), **variables}

    def images(self) -> list[str]:
        """Return the images that the lab's services are made from."""
        return sorted(set(self._run("config", "--images").split()))

    def build(
        self, services: Sequence[str], labels: Mapping[str, str], *, on_wait: Callable[[], None]
    ) -> None:
        """Build the images of these services, or all of them.

        `labels` are Compose's variables that say what they are made from.
        """
        with build_context(self._root) as root:
            replaced = Compose(self._wanted, root)
            replaced._env |= labels
            if "FAKEVM_CA_BUNDLE" not in replaced._env and (bundle := ca_bundle()):
                replaced._env["FAKEVM_CA_BUNDLE"] = bundle
            replaced._run("build", *services, on_wait=on_wait)

    def make_base_image(self, *, on_wait: Callable[[], None]) -> None:
        """Pull the images' base, or make it here where no registry answers."""
        process.run(("sh", str(self._root / "compose" / "ensure-base-image.sh")), on_wait=on_wait)

    def up(self, *, timeout_s: float, on_wait: Callable[[], None]) -> None:
        """Create and start what is missing or differs, remove what is too much, wait for health."""
        self._run(
            *("up", "--detach", "--remove-orphans", "--no-build"),
            *("--wait", "--wait-timeout", str(max(1, round(timeout_s)))),
            timeout_s=timeout_s + 30,
            on_wait=on_wait,
        )

    def _run(
        self,
        *args: str,
        timeout_s: float | None = None,
        on_wait: Callable[[], None] | None = None,
    ) -> str:
        path = self._root / self._wanted.backend.document
        default = yaml.safe_load(path.read_text(encoding="utf-8"))
        wanted = self._make(default, self._wanted)
        name = project(self._wanted.lab)
        argv = ("docker", "compose", "--ansi", "never", "--project-name", name)
        return process.run(
            # JSON is YAML.
            (*argv, "--project-directory", str(path.parent), "--file", "-", *args),
            stdin=json.dumps(wanted),
            env=self._env,
            timeout_s=timeout_s,
            on_wait=on_wait,
        )


def check_version() -> str:
    """See that `docker compose` is there, and new enough; return its version."""
    mend = "install Docker Compose v2 (package docker-compose-v2); a checkout's `make docker` does"
    try:
        told = process.run(("docker", "compose", "version", "--short"), timeout_s=30).strip()
    except process.ExitError as error:
        raise UnavailableError("`docker compose` is missing", hint=mend) from error
    version = tuple(int(part) for part in re.findall(r"\d+", told)[:2])
    if version < COMPOSE_VERSION:
        needed = ".".join(map(str, COMPOSE_VERSION))
        raise UnavailableError(f"`docker compose` is {told}; {needed} is needed", hint=mend)
    return told


def check_ownership(
    lab: str, containers: Collection[Container], networks: Collection[Network]
) -> None:
    """See that a project of the lab's name, if there is one, is a lab: never touch another's."""
    foreign = [container.name for container in containers if container.lab != lab]
    foreign += [n.name for n in networks if n.project == project(lab) and n.lab != lab]
    if foreign:
        raise ConflictError(
            f"the Compose project {project(lab)!r} is not a lab of fakevm's:"
            f" {', '.join(sorted(foreign))} has no label {LAB_LABEL}={lab}",
            hint="fakevm up --name ANOTHER",
        )
