"""The settings of the lab itself in a lab file: what it wishes, what a lab has: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from fakevm.errors import ConfigError
from fakevm.labfile.model import LabFile
from fakevm.recipe import releases
from fakevm.recipe.settings import (
    CONFIG,
    NEUTRON_SRC,
    NOTHING,
    WITH_KEYSTONE,
    Existing,
    Settings,
    Wishes,
    is_path,
    options_of,
)

# The keys that are options of every lab, or of a backend's.
_OPTIONS = (
    *("auth", "datapath", "l2population", "firewall", "metadata", "answer_as_nova"),
    *("mechanism_drivers", "type_drivers", "extension_drivers", "service_plugins", "l2_agent"),
)

# What says nothing about what a lab is.
_NOT_COMPARED = ("lab", "subnets", "passwords", "api_port", "keystone_port", "options", "backend")


def wishes_of(file: LabFile, folder: Path, given: Wishes, environ: Mapping[str, str]) -> Wishes:
    """Return the wishes of a file, with those that were given before it: they win."""
    options = {}
    for key in _OPTIONS:
        value = getattr(file, key)
        if value is not None:
            name = key.replace("_", "-")
            # As the variable of Compose's has it, which stands above the file, too.
            options[name] = environ.get(f"FAKEVM_{key.upper()}") or _word(value)
    return replace(
        given,
        computes=given.computes or file.computes,
        backend=given.backend or file.backend,
        api_port=given.api_port or file.api_port,
        keystone_port=given.keystone_port or file.keystone_port,
        neutron_version=given.neutron_version or file.neutron,
        options={**options, **given.options},
        config=given.config or _folder(folder, file.config, "config"),
        neutron_src=given.neutron_src or _folder(folder, file.neutron_src, "neutron_src"),
        packages=given.packages
        if given.packages is not None or file.packages is None
        else tuple(_package(folder, spec) for spec in file.packages),
        host_neutron={**file.host_neutron, **given.host_neutron},
    )


def words_of(existing: Existing) -> dict[str, Any]:
    """Return the settings of a lab that are not as they would be anyway, in a file's words."""
    backend = existing.backend
    found: dict[str, Any] = {"computes": len(existing.hosts)}
    if backend is None:
        return found
    found["backend"] = backend.name
    if existing.neutron_version not in ("", releases.DEFAULT):
        found["neutron"] = existing.neutron_version
    if existing.host_neutron:
        found["host_neutron"] = dict(existing.host_neutron)
    if existing.has_keystone:
        found["auth"] = WITH_KEYSTONE
    for option in options_of(backend):
        value = existing.handed(option).lower() if option.values else existing.handed(option)
        key = option.name.replace("-", "_")
        if not value or value in option.values[:1] or key == "auth":
            continue
        if not option.values and key != "l2_agent":
            found[key] = value.split(",")
        else:
            found[key] = {"true": True, "false": False}.get(value, value)
    for key, what in (("config", CONFIG), ("neutron_src", NEUTRON_SRC)):
        if (folder := existing.handed(what)) and folder != str(NOTHING):
            found[key] = folder
    if existing.packages:
        found["packages"] = list(existing.packages)
    return found


def differences(wanted: Settings, there: Settings) -> list[str]:
    """Return what of a lab's settings differs from what it has, in words."""
    found = []
    for name in (one.name for one in fields(Settings) if one.name not in _NOT_COMPARED):
        old, new = getattr(there, name), getattr(wanted, name)
        if old != new:
            found.append(f"{name} {_shown(old)} → {_shown(new)}")
    for option in options_of(wanted.backend):
        old, new = there.options[option.name], wanted.options[option.name]
        if old != new:
            found.append(f"{option.name} {old or 'default'} → {new or 'default'}")
    return found


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list) else str(value)


def _folder(folder: Path, name: str | None, key: str) -> Path | None:
    if name is None:
        return None
    found = folder / name
    if not found.is_dir():
        raise ConfigError(f"{key}: there is no folder {found}")
    return found


def _package(folder: Path, spec: str) -> str:
    """Return what pip is to install; a path begins at the file's folder."""
    if is_path(spec):
        if not (folder / spec).exists():
            raise ConfigError(f"packages: there is no {folder / spec}")
        return str((folder / spec).resolve())
    return spec


def _shown(value: Any) -> str:
    if value is None or value in ({}, ()):
        return "none"
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, dict):
        return ", ".join(f"{name}={one}" for name, one in value.items())
    return str(value)
