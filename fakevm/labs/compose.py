"""A lab as Compose sees it: what is decided (pure), and `docker compose` as it is run."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fakevm.clients import process
from fakevm.clients.engine import Container, Network, Recipe
from fakevm.errors import ConfigError, ConflictError, FakevmError, UnavailableError
from fakevm.names import DEFAULT_LAB, LAB_LABEL, NEUTRON_PORT, project

DEFAULT_COMPUTES = 3
DEFAULT_NEUTRON = "28.0.2"

# `include` in a Compose file.
COMPOSE_VERSION = (2, 20)

# The range of benchmarks (RFC 2544): no home, office or VPN uses it. A lab gets one of its 64 /21.
LABS_RANGE = ipaddress.IPv4Network("198.18.0.0/15")
SLICES = 64

# Of a lab's /21: which /23 is whose.
ROLES = ("management", "underlay", "provider")

BASE_IMAGE = "debian:trixie-slim"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What makes a lab the one that it is."""

    lab: str
    computes: int
    # By role.
    subnets: Mapping[str, str]
    api_port: int
    neutron_version: str
    datapath: str
    l2population: bool
    # By the Compose variable that hands them in.
    passwords: Mapping[str, str]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The compute hosts' names."""
        return tuple(f"compute-{number}" for number in range(1, self.computes + 1))


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user asked for; None: as the lab has it, or else the default."""

    computes: int | None = None
    api_port: int | None = None
    neutron_version: str | None = None
    datapath: str | None = None
    l2population: bool | None = None


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
        return tuple(sorted(names, key=_number))

    def setting(self, service: str, variable: str) -> str:
        """Return a variable of a service's environment; "" where it is not known."""
        recipe = self.recipes.get(service)
        return recipe.environment.get(variable, "") if recipe else ""

    @property
    def api_port(self) -> int | None:
        """Where Neutron's API is published."""
        recipe = self.recipes.get("neutron-api")
        return recipe.ports.get(NEUTRON_PORT) if recipe else None

    @property
    def neutron_version(self) -> str:
        """Neutron's release, which its image is tagged with."""
        recipe = self.recipes.get("neutron-api")
        return recipe.image.rpartition(":")[2] if recipe else ""


# Where a password is found again: Compose variable → service and its environment variable.
PASSWORDS = {
    "FAKEVM_DATABASE_PASSWORD": ("mariadb", "DATABASE_PASSWORD"),
    "FAKEVM_RABBITMQ_PASSWORD": ("rabbitmq", "RABBITMQ_PASSWORD"),
    "FAKEVM_METADATA_SECRET": ("network-1", "OS_DEFAULT__METADATA_PROXY_SHARED_SECRET"),
}


def slice_of(number: int) -> dict[str, str]:
    """Return the subnets of a slice by role."""
    first = int(LABS_RANGE.network_address) + number * 2**11
    return {
        role: str(ipaddress.IPv4Network((first + place * 2**9, 23)))
        for place, role in enumerate(ROLES)
    }


def choose_slice(lab: str, networks: Collection[Network]) -> int:
    """Return the slice for a new lab's subnets.

    The default lab has slice 0; another one begins at a hash of its name and takes the first free.
    """
    if lab == DEFAULT_LAB:
        taken = _collisions(slice_of(0), networks)
        if taken:
            raise ConflictError(
                f"the lab's subnets are in use by Docker network {', '.join(taken)}",
                hint="fakevm up --name ANOTHER, or remove that network",
            )
        return 0
    first = int.from_bytes(hashlib.sha256(lab.encode()).digest()[:4], "big") % (SLICES - 1)
    for step in range(SLICES - 1):
        number = 1 + (first + step) % (SLICES - 1)
        if not _collisions(slice_of(number), networks):
            return number
    raise ConflictError(
        f"Docker networks use every slice of {LABS_RANGE}", hint="fakevm down, for a lab not needed"
    )


def _collisions(subnets: Mapping[str, str], networks: Collection[Network]) -> list[str]:
    ours = [ipaddress.ip_network(subnet) for subnet in subnets.values()]
    return sorted(
        {
            f"{network.name} ({subnet})"
            for network in networks
            for subnet in network.subnets
            for own in ours
            if own.version == ipaddress.ip_network(subnet).version
            and own.overlaps(ipaddress.ip_network(subnet))
        }
    )


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
    own = {network.role: network.subnets[0] for network in existing.networks if network.subnets}
    others = [network for network in networks if network.lab != lab]
    named = {role: environ.get(f"FAKEVM_{role.upper()}_SUBNET", "") for role in ROLES}
    subnets = {role: own.get(role) or named[role] for role in ROLES}
    number = 0
    if not all(subnets.values()):
        number = choose_slice(lab, others)
        subnets = {role: subnets[role] or subnet for role, subnet in slice_of(number).items()}
    if taken := _collisions(subnets, others):
        raise ConflictError(f"the lab's subnets are in use by Docker network {', '.join(taken)}")
    return Settings(
        lab=lab,
        computes=wishes.computes or max(map(_number, existing.hosts), default=DEFAULT_COMPUTES),
        subnets=subnets,
        api_port=wishes.api_port or existing.api_port or NEUTRON_PORT + number,
        neutron_version=wishes.neutron_version or existing.neutron_version or DEFAULT_NEUTRON,
        datapath=wishes.datapath or existing.setting("network-1", "FAKEVM_DATAPATH") or "auto",
        l2population=_l2population(wishes, existing, environ),
        passwords={
            variable: existing.setting(service, name)
            or _password(variable, environ)
            or new_password()
            for variable, (service, name) in PASSWORDS.items()
        },
    )


def _l2population(wishes: Wishes, existing: Existing, environ: Mapping[str, str]) -> bool:
    if wishes.l2population is not None:
        return wishes.l2population
    known = existing.setting("network-1", "OS_AGENT__L2_POPULATION")
    return (known or environ.get("FAKEVM_L2_POPULATION", "true")).lower() != "false"


def _password(variable: str, environ: Mapping[str, str]) -> str:
    found = environ.get(variable, "")
    # It becomes a part of URLs and SQL.
    if not re.fullmatch(r"[A-Za-z0-9]*", found):
        raise ConfigError(f"{variable}: only letters and digits are expected in it")
    return found


def releases(root: Path) -> list[str]:
    """Return the releases of Neutron that the images can be built with, oldest first."""
    found = (root / "images" / "neutron" / "constraints").glob("*.txt")
    return sorted((path.stem for path in found), key=_release)


def check_release(lab: str, *, wanted: str, existing: str, supported: Collection[str]) -> None:
    """Refuse a release that can't be built, and the way back: a database can't be downgraded."""
    if wanted not in supported and wanted != existing:
        raise ConfigError(
            f"Neutron {wanted} is not supported, but {', '.join(supported)}",
            hint=f"fakevm up --neutron-version {DEFAULT_NEUTRON}",
        )
    if _release(wanted) < _release(existing):
        raise ConflictError(
            f"the lab {lab!r} has Neutron {existing}; it can't go back to {wanted}",
            hint=f"fakevm --lab {lab} down, and then again",
        )


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _number(host: str) -> int:
    return int(host.rpartition("-")[2])


def environment(wanted: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for `docker compose`: the user's, and the lab's variables."""
    # Compose's own variables would name another project or other files.
    kept = {name: value for name, value in environ.items() if not name.startswith("COMPOSE_")}
    return {
        **kept,
        "FAKEVM_LAB": wanted.lab,
        "FAKEVM_NEUTRON_VERSION": wanted.neutron_version,
        "FAKEVM_API_PORT": str(wanted.api_port),
        "FAKEVM_DATAPATH": wanted.datapath,
        "FAKEVM_L2_POPULATION": str(wanted.l2population).lower(),
        **{f"FAKEVM_{role.upper()}_SUBNET": subnet for role, subnet in wanted.subnets.items()},
        **wanted.passwords,
    }


def document(default: Mapping[str, Any], hosts: Sequence[str]) -> dict[str, Any]:
    """Return docker-compose.yml's document with other compute hosts, each made as its first one."""
    first = default["services"]["compute-1"]
    return {**default, "services": {host: {**first, "hostname": host} for host in hosts}}


class Compose:
    """`docker compose` for one lab."""

    def __init__(self, wanted: Settings, root: Path) -> None:
        self._wanted = wanted
        self._root = root
        self._env = environment(wanted, os.environ)

    def images(self) -> list[str]:
        """Return the images that the lab's services are made from."""
        return sorted(set(self._run("config", "--images").split()))

    def build(self, *, on_wait: Callable[[], None]) -> None:
        """Build the images."""
        with _context(self._root) as root:
            replaced = Compose(self._wanted, root)
            if "FAKEVM_CA_BUNDLE" not in replaced._env and (bundle := _ca_bundle()):
                replaced._env["FAKEVM_CA_BUNDLE"] = bundle
            replaced._run("build", on_wait=on_wait)

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
        import yaml

        text = (self._root / "docker-compose.yml").read_text(encoding="utf-8")
        wanted = document(yaml.safe_load(text), self._wanted.hosts)
        name = project(self._wanted.lab)
        argv = ("docker", "compose", "--ansi", "never", "--project-name", name)
        return process.run(
            # JSON is YAML.
            (*argv, "--project-directory", str(self._root), "--file", "-", *args),
            stdin=json.dumps(wanted),
            env=self._env,
            timeout_s=timeout_s,
            on_wait=on_wait,
        )


def check_version() -> None:
    """See that `docker compose` is there, and new enough."""
    mend = "install Docker Compose v2 (package docker-compose-v2); a checkout's `make docker` does"
    try:
        told = process.run(("docker", "compose", "version", "--short"), timeout_s=30).strip()
    except process.ExitError as error:
        raise UnavailableError("`docker compose` is missing", hint=mend) from error
    version = tuple(int(part) for part in re.findall(r"\d+", told)[:2])
    if version < COMPOSE_VERSION:
        needed = ".".join(map(str, COMPOSE_VERSION))
        raise UnavailableError(f"`docker compose` is {told}; {needed} is needed", hint=mend)


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


def files() -> Path:
    """Return the folder of the lab's files: the checkout, or the installed package's share."""
    package = Path(__file__).resolve().parents[1]
    for root in (package / "share", package.parent):
        if (root / "docker-compose.yml").is_file() and (root / "compose").is_dir():
            return root
    raise FakevmError("the lab's files are missing", hint="pip install --force-reinstall fakevm")


@contextmanager
def _context(root: Path) -> Iterator[Path]:
    """Give a folder with the layout of the repository, from which the images can be built."""
    package = Path(__file__).resolve().parents[1]
    if root == package.parent:
        yield root
        return
    agent = find_spec("fakevm_agent")
    if agent is None or agent.origin is None:
        raise FakevmError("the package fakevm_agent is missing")
    without = shutil.ignore_patterns("__pycache__", "share")
    with tempfile.TemporaryDirectory(prefix="fakevm-build-") as folder:
        copy = Path(folder)
        shutil.copytree(root, copy, dirs_exist_ok=True)
        shutil.copytree(package, copy / "fakevm", ignore=without)
        shutil.copytree(Path(agent.origin).parent, copy / "agent" / "fakevm_agent", ignore=without)
        yield copy


def _ca_bundle() -> str:
    """Return the certificates that this machine trusts, a company's proxy among them."""
    named = (os.environ.get(name, "") for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))
    for path in (*named, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/cert.pem"):
        if path and Path(path).is_file():
            return path
    return ""
