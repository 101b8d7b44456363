"""What a lab's user lays over Neutron's configuration, and what Neutron's processes have of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from fakevm import clients
from fakevm.clients.engine import Container
from fakevm.clients.parts import Parts
from fakevm.clients.process import ExitError, run
from fakevm.errors import ConfigError, FakevmError
from fakevm.labs import overlay
from fakevm.labs.settings import DRIVERS, Settings

# Where the containers have the user's folder.
MOUNTED = "/etc/fakevm/config"

# Neutron's modules are loaded to know its options.
CHECK_S = 120.0

# How long a container may take to read its files.
SHOW_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Setting:
    """An option that a file sets, with the file that has the last word."""

    # A service of the lab's, or one of its hosts.
    service: str
    # What runs with it there: "api", "l2-agent".
    process: str
    group: str
    option: str
    # Passwords and secrets are hidden.
    value: str
    # Below MOUNTED it is the user's.
    file: str


def check(wanted: Settings, *, say: Callable[[str], None]) -> None:
    """Look at the user's files, and at the drivers that are named, before anything reads them.

    ConfigError where a process that reads them would end at once; tell what has no effect.
    """
    drivers = [
        f"{option.environment}={wanted.options[option.name]}"
        for option in DRIVERS
        if wanted.options[option.name]
    ]
    if not (wanted.config or drivers):
        return
    mounts = []
    if wanted.neutron_src or wanted.packages:
        mounts.append(overlay.mount(wanted.lab, "readonly"))
    if wanted.config:
        mounts.append(f"type=bind,source={wanted.config},target={MOUNTED},readonly")
    argv = [
        *("docker", "run", "--rm", "--network=none"),
        *(word for mount in mounts for word in ("--mount", mount)),
        *(word for driver in drivers for word in ("--env", driver)),
        # The host's image has every file that there may be one for.
        *(f"fakevm/host:{wanted.neutron_version}", "neutron-config-check"),
    ]
    found = json.loads(run(argv, timeout_s=CHECK_S))
    place = f"{wanted.config}: " if wanted.config else ""
    if found["error"]:
        raise ConfigError(f"{place}{found['error'].replace(MOUNTED + '/', '')}")
    for warning in found["warnings"]:
        say(f"warning: {place}{warning}")


def settings_of(lab: Parts, service: str | None = None) -> list[Setting]:
    """Return what Neutron's processes were started with, of one service or all of them."""
    if service is not None:
        containers = [lab.service(service)]
    else:
        containers = [c for c in lab.containers if c.running and c.has_neutron]
    return [one for found in clients.at_once.each(_settings, containers) for one in found]


def _settings(container: Container) -> list[Setting]:
    argv = ("docker", "exec", container.name, "neutron-config-show")
    try:
        found = json.loads(run(argv, timeout_s=SHOW_S))
    except ExitError as error:
        raise FakevmError(f"{container.service}: {error.output}") from error
    return [Setting(service=container.service, **row) for row in found]
