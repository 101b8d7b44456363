"""The backends that there are."""

from __future__ import annotations

from collections.abc import Iterable

from fakevm.backends.backend import Backend
from fakevm.backends.ovn import OVN
from fakevm.backends.ovs import OVS
from fakevm.errors import ConfigError

BACKENDS: tuple[Backend, ...] = (OVS, OVN)

# Of a lab that does not say otherwise.
DEFAULT: Backend = OVS


def labelled(labels: Iterable[str]) -> Backend:
    """Return the backend that a lab's containers are labelled with; the default, if none is."""
    return get(next(filter(None, labels), DEFAULT.name))


def get(name: str) -> Backend:
    """Return the backend of a name; ConfigError names those that there are."""
    for backend in BACKENDS:
        if backend.name == name:
            return backend
    known = ", ".join(backend.name for backend in BACKENDS)
    raise ConfigError(f"there is no backend {name!r}; there are: {known}")
