"""What a lab's user lays over Neutron's configuration, and what Neutron's processes have of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fakevm import clients
from fakevm.clients.containers import Container
from fakevm.clients.parts import Parts
from fakevm.clients.process import ExitError, run
from fakevm.errors import ConfigError, FakevmError
from fakevm.recipe.settings import Settings, options_of

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
    """Look at the user's files, and at drivers and L2 agents that are named, before all else.

    ConfigError where a process that reads them would end at once; tell what has no effect.
    """
    if given := options(wanted):
        # The host's image has every file that there may be one for.
        program = (f"fakevm/host:{wanted.neutron_version}", "neutron-config-check")
        argv = ("docker", "run", "--rm", "--network=none", *given, *program)
        found = json.loads(run(argv, timeout_s=CHECK_S))
        if found["error"]:
            raise refused(wanted, found["error"])
        warn(wanted, found["warnings"], say=say)


def options(wanted: Settings) -> list[str]:
    """Return with what `docker run` gives neutron-config-check a lab's configuration, if any."""
    found = [
        f"--env={option.environment}={wanted.options[option.name]}"
        for option in options_of(wanted.backend)
        # What anything may be given for.
        if not option.values and wanted.options[option.name]
    ]
    if wanted.config:
        found.append(f"--mount=type=bind,source={wanted.config},target={MOUNTED},readonly")
    return found


def refused(wanted: Settings, words: str) -> ConfigError:
    """Return what neutron-config-check says is wrong."""
    return ConfigError(_place(wanted) + words.replace(f"{MOUNTED}/", ""))


def warn(wanted: Settings, warnings: Iterable[str], *, say: Callable[[str], None]) -> None:
    """Tell what neutron-config-check says has no effect."""
    for warning in warnings:
        say(f"warning: {_place(wanted)}{warning}")


def _place(wanted: Settings) -> str:
    return f"{wanted.config}: " if wanted.config else ""


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
