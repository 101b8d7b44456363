"""What a lab is to be, decided of what there is of it on the engine."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace

from fakevm.clients.containers import Container, Network
from fakevm.clients.engine import Engine
from fakevm.errors import NotFoundError
from fakevm.recipe import releases, settings, share
from fakevm.recipe.settings import Existing, Settings, Wishes


def existing_of(
    lab: str,
    wishes: Wishes,
    containers: Collection[Container],
    networks: Collection[Network],
    *,
    engine: Engine,
) -> Existing:
    """Return what a lab has already, of what the engine has."""
    found = Existing(
        containers=tuple(containers), networks=tuple(n for n in networks if n.lab == lab)
    )
    backend = settings.backend_of(lab, wishes, found)
    handed = (*backend.passwords, settings.KEYSTONE_PASSWORD, *settings.options_of(backend))
    asked = {"neutron-api", *(one.service for one in handed)}
    recipes = {}
    for container in (c for c in containers if c.service in asked):
        # One of an `up` that was interrupted may be on its way out.
        with suppress(NotFoundError):
            recipes[container.service] = engine.recipe(container)
    return replace(found, recipes=recipes)


def wanted_of(
    lab: str, wishes: Wishes, existing: Existing, networks: Collection[Network]
) -> Settings:
    """Return what a lab is to be; ConfigError, ConflictError where that can't be."""
    wanted = settings.settings(
        lab, wishes=wishes, existing=existing, networks=networks, environ=os.environ
    )
    for release in wanted.releases:
        releases.check(
            lab,
            wanted=release,
            # What has no database may go back.
            existing=existing.neutron_version if release == wanted.neutron_version else "",
            known=releases.supported(share.files()),
        )
    return wanted
