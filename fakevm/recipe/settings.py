"""What a lab is to be: as the user wishes it, else as it is, else the default."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fakevm import backends
from fakevm.backends.backend import Backend, Handed, Option
from fakevm.clients.containers import KEYSTONE, Container, Network, Recipe
from fakevm.errors import ConfigError, ConflictError
from fakevm.names import KEYSTONE_PORT, NEUTRON_PORT
from fakevm.recipe import releases
from fakevm.recipe.subnets import ROLES, choose_slice, collisions, slice_of

# What ML2 and Neutron load.
DRIVERS = tuple(
    Option(
        name=name,
        variable=f"FAKEVM_{name.replace('-', '_').upper()}",
        service="neutron-api",
        environment=f"OS_{group}__{name.replace('-', '_').upper()}",
        values=(),
    )
    for name, group in (
        ("mechanism-drivers", "ML2"),
        ("type-drivers", "ML2"),
        ("extension-drivers", "ML2"),
        ("service-plugins", "DEFAULT"),
    )
)

# Instead of drivers: those that the images have.
AS_IMAGES = "default"

# Who says who a caller of Neutron's is: nobody, or Keystone.
AUTH = Option(
    name="auth",
    variable="FAKEVM_AUTH",
    service="neutron-api",
    environment="FAKEVM_AUTH",
    values=("noauth", "keystone"),
)

# Of every backend.
OPTIONS = (
    *DRIVERS,
    AUTH,
    Option(
        name="datapath",
        variable="FAKEVM_DATAPATH",
        service="network-1",
        environment="FAKEVM_DATAPATH",
        values=("auto", "system", "netdev"),
    ),
    Option(
        name="answer-as-nova",
        variable="FAKEVM_ANSWER_AS_NOVA",
        service="nova-events",
        environment="FAKEVM_ANSWER_AS_NOVA",
        values=("false", "true"),
    ),
)

# The folder whose files are laid over Neutron's configuration.
CONFIG = Handed(variable="FAKEVM_CONFIG", service="neutron-api", environment="FAKEVM_CONFIG")

# What lies over the Python of the images: a working tree of Neutron's, and what pip is to install,
# as JSON. neutron-overlay lays it there; the API's container remembers what it was.
NEUTRON_SRC = Handed(
    variable="FAKEVM_NEUTRON_SRC", service="neutron-api", environment="FAKEVM_NEUTRON_SRC"
)
PACKAGES = Handed(variable="FAKEVM_PACKAGES", service="neutron-api", environment="FAKEVM_PACKAGES")

# The value of that.
WITH_KEYSTONE = AUTH.values[1]

# The password of every user of the lab's Keystone.
KEYSTONE_PASSWORD = Handed(
    variable="FAKEVM_KEYSTONE_PASSWORD", service=KEYSTONE, environment="FAKEVM_KEYSTONE_PASSWORD"
)

# Instead of a folder: none. What Compose mounts then.
NOTHING = Path("/dev/null")

# Of TCP's ports.
LAST_OF_THE_SYSTEM = 1023

DEFAULT_COMPUTES = 3


def is_path(spec: str) -> bool:
    """Tell whether what pip is to install is a path, and no name or URL."""
    return spec.startswith(".") or os.sep in spec.partition("://")[0]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What makes a lab the one that it is."""

    lab: str
    computes: int
    # By role.
    subnets: Mapping[str, str]
    api_port: int
    neutron_version: str
    backend: Backend
    # By name: the backend's, and those of every backend.
    options: Mapping[str, str]
    # Where Keystone's is published, in a lab that has it.
    keystone_port: int
    # By the Compose variable that hands them in.
    passwords: Mapping[str, str]
    # The folder whose files are laid over Neutron's configuration; None: there is none.
    config: Path | None = None
    # A working tree that Neutron runs from; None: the release itself.
    neutron_src: Path | None = None
    # What pip is to install beside it.
    packages: tuple[str, ...] = ()
    # The releases of compute hosts that have another one, as while a cloud is upgraded.
    host_neutron: Mapping[str, str] = field(default_factory=dict)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The compute hosts' names."""
        return tuple(f"compute-{number}" for number in range(1, self.computes + 1))

    @property
    def has_keystone(self) -> bool:
        """Whether Keystone says who a caller of Neutron's is."""
        return self.options[AUTH.name] == WITH_KEYSTONE

    @property
    def releases(self) -> list[str]:
        """The releases of Neutron that it has, its own first."""
        others = set(self.host_neutron.values())
        return [self.neutron_version, *sorted(others, key=releases.numbers)]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user asked for; None: as the lab has it, or else the default."""

    computes: int | None = None
    backend: str | None = None
    api_port: int | None = None
    keystone_port: int | None = None
    neutron_version: str | None = None
    # By name.
    options: Mapping[str, str] = field(default_factory=dict)
    # The folder to lay over Neutron's configuration; NOTHING: none.
    config: Path | None = None
    # The working tree to run Neutron from; NOTHING: none.
    neutron_src: Path | None = None
    # What pip is to install beside it; empty: nothing.
    packages: tuple[str, ...] | None = None
    # By host; AS_IMAGES: the lab's own.
    host_neutron: Mapping[str, str] = field(default_factory=dict)
    # Whether images that are missing or stale may be built.
    build: bool = True


@dataclass(frozen=True, kw_only=True)
class Existing:
    """What a lab has already; empty where it has not."""

    containers: tuple[Container, ...] = ()
    networks: tuple[Network, ...] = ()
    # By service, of those that tell how the lab was made.
    recipes: Mapping[str, Recipe] = field(default_factory=dict)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The compute hosts that are there, running or not."""
        # A set, since while Compose makes a container anew there are two.
        names = {c.service for c in self.containers if c.role == "compute"}
        return tuple(sorted(names, key=lambda name: (_number(name), name)))

    @property
    def backend(self) -> Backend | None:
        """Who wires its ports; None, where it has no containers."""
        if not self.containers:
            return None
        return backends.known.labelled(container.backend for container in self.containers)

    @property
    def has_keystone(self) -> bool | None:
        """Whether Keystone says who a caller of its Neutron is; None, where it has no Neutron."""
        found = [c.auth == WITH_KEYSTONE for c in self.containers if c.service == "neutron-api"]
        return found[0] if found else None

    def handed(self, what: Handed) -> str:
        """Return what Compose handed to a container; "" where it is not known."""
        recipe = self.recipes.get(what.service)
        return recipe.environment.get(what.environment, "") if recipe else ""

    @property
    def host_neutron(self) -> dict[str, str]:
        """The releases of compute hosts that have another one than the lab."""
        own = self.neutron_version
        computes = [c for c in self.containers if c.role == "compute"]
        return {c.service: c.release for c in computes if own and c.release not in ("", own)}

    @property
    def packages(self) -> tuple[str, ...]:
        """What pip has installed beside Neutron."""
        return tuple(json.loads(self.handed(PACKAGES) or "[]"))

    @property
    def api_port(self) -> int | None:
        """Where Neutron's API is published."""
        return self._published("neutron-api", NEUTRON_PORT)

    @property
    def keystone_port(self) -> int | None:
        """Where Keystone's is."""
        return self._published(KEYSTONE, KEYSTONE_PORT)

    def _published(self, service: str, port: int) -> int | None:
        recipe = self.recipes.get(service)
        return recipe.ports.get(port) if recipe else None

    @property
    def neutron_version(self) -> str:
        """Neutron's release, which its image is tagged with."""
        recipe = self.recipes.get("neutron-api")
        return recipe.image.rpartition(":")[2] if recipe else ""


def options_of(backend: Backend) -> tuple[Option, ...]:
    """Return the options of a lab with this backend."""
    return (*backend.options, *OPTIONS)


def backend_of(lab: str, wishes: Wishes, existing: Existing) -> Backend:
    """Return the backend of a lab: as it has it, else as wished, else the default.

    ConflictError, where the lab has another one than is wished.
    """
    wished = backends.known.get(wishes.backend) if wishes.backend else None
    if wished and existing.backend not in (None, wished):
        assert existing.backend
        raise ConflictError(
            f"the lab {lab!r} has {existing.backend.title}, which stays as long as it does",
            hint=f"fakevm up --name ANOTHER --backend {wished.name}, or fakevm --lab {lab} down",
        )
    return existing.backend or wished or backends.known.DEFAULT


def settings(
    lab: str,
    *,
    wishes: Wishes,
    existing: Existing,
    networks: Collection[Network],
    environ: Mapping[str, str],
    new_password: Callable[[], str] = lambda: secrets.token_hex(16),
) -> Settings:
    """Return what a lab is to be: as wished, else as it is, else the default."""
    backend = backend_of(lab, wishes, existing)
    own = {network.role: network.subnets[0] for network in existing.networks if network.subnets}
    others = [network for network in networks if network.lab != lab]
    named = {role: environ.get(f"FAKEVM_{role.upper()}_SUBNET", "") for role in ROLES}
    subnets = {role: own.get(role) or named[role] for role in ROLES}
    number = 0
    if not all(subnets.values()):
        number = choose_slice(lab, others)
        subnets = {role: subnets[role] or subnet for role, subnet in slice_of(number).items()}
    if taken := collisions(subnets, others):
        raise ConflictError(f"the lab's subnets are in use by Docker network {', '.join(taken)}")
    numbers = map(_number, existing.hosts)
    computes = wishes.computes or max(numbers, default=DEFAULT_COMPUTES) or len(existing.hosts)
    release = wishes.neutron_version or existing.neutron_version or releases.DEFAULT
    options = _options(backend, wishes, existing, environ)
    passwords = [
        *backend.passwords,
        *([KEYSTONE_PASSWORD] if options[AUTH.name] == WITH_KEYSTONE else []),
    ]
    api_port = wishes.api_port or existing.api_port or NEUTRON_PORT + number
    keystone_port = wishes.keystone_port or existing.keystone_port or _keystone_port(api_port)
    if keystone_port == api_port:
        raise ConfigError(f"port {api_port} can't be both Neutron's and Keystone's")
    return Settings(
        lab=lab,
        computes=computes,
        subnets=subnets,
        api_port=api_port,
        keystone_port=keystone_port,
        neutron_version=release,
        backend=backend,
        options=options,
        passwords={
            one.variable: existing.handed(one) or _password(one.variable, environ) or new_password()
            for one in passwords
        },
        config=_folder(CONFIG, "config", wishes.config, existing, environ),
        neutron_src=_folder(NEUTRON_SRC, "neutron-src", wishes.neutron_src, existing, environ),
        packages=wishes.packages if wishes.packages is not None else existing.packages,
        host_neutron=_host_neutron(wishes, existing, computes=computes, release=release),
    )


def _keystone_port(api_port: int) -> int:
    """Return where Keystone's API is published: as far from Neutron's as their usual ports are."""
    found = api_port - NEUTRON_PORT + KEYSTONE_PORT
    return found if found > LAST_OF_THE_SYSTEM else api_port + 1


def _host_neutron(
    wishes: Wishes, existing: Existing, *, computes: int, release: str
) -> dict[str, str]:
    """Return the releases of the hosts that are to have another one than the lab."""
    for host in wishes.host_neutron:
        if not re.fullmatch(r"compute-[1-9]\d*", host) or _number(host) > computes:
            raise ConfigError(f"there is no compute host {host!r} of compute-1 to -{computes}")
    return {
        host: chosen
        for host, chosen in {**existing.host_neutron, **wishes.host_neutron}.items()
        if chosen not in (release, AS_IMAGES) and _number(host) <= computes
    }


def _folder(
    what: Handed, option: str, wished: Path | None, existing: Existing, environ: Mapping[str, str]
) -> Path | None:
    chosen = wished or existing.handed(what) or environ.get(what.variable) or NOTHING
    folder = Path(chosen).absolute()
    if folder == NOTHING:
        return None
    if not folder.is_dir():
        raise ConfigError(
            f"{folder}, the lab's --{option}, is no folder",
            hint=f"fakevm up --{option} ANOTHER, or fakevm up --no-{option}",
        )
    return folder


def _options(
    backend: Backend, wishes: Wishes, existing: Existing, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the backend's options: as wished, else as the lab has them, else the default."""
    options = options_of(backend)
    names = [option.name for option in options]
    for name in wishes.options:
        if name not in names:
            raise ConfigError(
                f"a lab of {backend.title} has no option {name}, but {', '.join(names)}"
            )
    return {option.name: _option(option, wishes, existing, environ) for option in options}


def _option(option: Option, wishes: Wishes, existing: Existing, environ: Mapping[str, str]) -> str:
    found = (wishes.options.get(option.name), existing.handed(option), environ.get(option.variable))
    if not option.values:
        value = next(filter(None, found), AS_IMAGES)
        if not value.isprintable():
            raise ConfigError(f"{option.name}: {value!r} has what can't be printed")
        return "" if value == AS_IMAGES else value
    value = next(filter(None, found), option.values[0]).lower()
    if value not in option.values:
        raise ConfigError(f"{option.name}: {', '.join(option.values)} is expected, not {value!r}")
    return value


def _password(variable: str, environ: Mapping[str, str]) -> str:
    found = environ.get(variable, "")
    # It becomes a part of URLs and SQL.
    if not re.fullmatch(r"[A-Za-z0-9]*", found):
        raise ConfigError(f"{variable}: only letters and digits are expected in it")
    return found


def _number(host: str) -> int:
    """Return a compute host's number; 0 of one with a name of its own, as joined labs have them."""
    found = re.fullmatch(r"compute-(\d+)", host)
    return int(found[1]) if found else 0
