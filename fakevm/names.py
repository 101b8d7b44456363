"""The names of a lab's parts, and what the user's words for a lab, a port and a host mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from fakevm.errors import ConfigError, ConflictError, NotFoundError


class Named(Protocol):
    """A port, as far as it is named."""

    @property
    def id(self) -> str:
        """Its UUID."""

    @property
    def name(self) -> str:
        """Its name, which others may have, too."""

    @property
    def device_owner(self) -> str:
        """Whose it is: "compute:…" for a VM's, "" for nobody's yet."""


P = TypeVar("P", bound=Named)

DEFAULT_LAB = "fakevm"

# A container's labels: its lab, what it is there, and its service as Compose names it; a compute
# host's that has joined another lab: which one.
LAB_LABEL = "fakevm.lab"
ROLE_LABEL = "fakevm.role"
SERVICE_LABEL = "com.docker.compose.service"
HOME_LABEL = "fakevm.home"

# Without Keystone every port is of this project (neutron/auth.py, NoauthFakeProjectId).
PROJECT = "fake_project_id"

# With Keystone: users, of whom the first is fakevm's own, and the project that each works in.
ADMIN = "admin"
USERS = {ADMIN: "admin", "member": "demo", "reader": "demo"}

# As whom the hosts ask, as a compute service does, and its project.
NOVA = ("nova", "service")

# Where Neutron's API and Keystone listen in their containers, and an agent in its host, and nowhere
# else.
NEUTRON_PORT = 9696
KEYSTONE_PORT = 5000
AGENT_SOCKET = "/run/fakevm/agent.sock"

# As Docker shows a container's id; less of one may be meant otherwise.
_ID_LEN = 12

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_HOST = re.compile(r"compute-[1-9][0-9]*")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def check_lab(lab: str) -> str:
    """Return a lab's name if it is one."""
    return _checked(lab, "lab")


def check_host(host: str) -> str:
    """Return the name that a user gives a host, if it may have it."""
    return _checked(host, "host")


def _checked(name: str, what: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no {what}'s name: at most 31 of a-z, 0-9 and '-' are expected, no '-'"
            " first"
        )
    return name


def is_uuid(ref: str) -> bool:
    """Tell whether a user's word is a whole UUID."""
    return bool(_UUID.fullmatch(ref))


def is_host(ref: str) -> bool:
    """Tell whether a user's word is a compute host's name, and not its container's id."""
    return bool(_HOST.fullmatch(ref))


def may_be_a_vms(port: Named) -> bool:
    """Tell whether a port is a VM's, or nobody's yet."""
    return not port.device_owner or port.device_owner.startswith("compute:")


def find_port(ref: str, ports: Collection[P]) -> P:
    """Return the port with this UUID, or this name, or the one UUID that begins so."""
    choices: tuple[tuple[str, Callable[[P], bool]], ...] = (
        ("", lambda port: port.id == ref),
        ("are named", lambda port: port.name == ref),
        # Not a DHCP agent's or a router's, of which a user sees nothing in fakevm.
        (
            "begin with",
            lambda port: port.id.startswith(ref.lower()) and may_be_a_vms(port),
        ),
    )
    for words, matches in choices:
        found = [port for port in ports if ref and matches(port)]
        if len(found) > 1:
            known = ", ".join(sorted(called(port) for port in found))
            raise ConflictError(f"several ports {words} {ref!r}: {known}", hint="give the UUID")
        if found:
            return found[0]
    raise NotFoundError(f"there is no port {ref!r}", hint="fakevm list")


def called(port: Named) -> str:
    """Return a port's id, and its name where it has one."""
    return f"{port.id} ({port.name})" if port.name else port.id


def natural(name: str) -> tuple[str, int]:
    """Return what puts compute-2 before compute-10."""
    head = name.rstrip("0123456789")
    return head, int(name[len(head) :] or 0)


def find_host(ref: str, hosts: Mapping[str, str]) -> str:
    """Return the host with this name or container id, of name → container id."""
    found = [name for name, id_ in hosts.items() if len(ref) >= _ID_LEN and id_.startswith(ref)]
    if ref in hosts or len(found) == 1:
        return ref if ref in hosts else found[0]
    raise NotFoundError(f"there is no compute host {ref!r}; there are {', '.join(hosts)}")


def lab_words(lab: str) -> str:
    """Return what a command line says before its command to mean a lab; "" of the default one."""
    return "" if lab == DEFAULT_LAB else f"--lab {lab} "


def project(lab: str) -> str:
    """Return the name of a lab's Compose project."""
    return DEFAULT_LAB if lab == DEFAULT_LAB else f"{DEFAULT_LAB}-{lab}"


def container_name(lab: str, service: str) -> str:
    """Return the name that Compose gives a service's only container."""
    return f"{project(lab)}-{service}-1"


def published(ports: Iterable[Mapping[str, Any]]) -> dict[int, int]:
    """Return a container's ports and where they are published, of what the engine's API lists."""
    return {one["PrivatePort"]: one["PublicPort"] for one in ports if one.get("PublicPort")}
