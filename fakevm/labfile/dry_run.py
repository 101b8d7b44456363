"""What `up` would do with the lab itself, which need not run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fakevm.clients.engine import Engine
from fakevm.contents.converge import Converged, Done
from fakevm.labfile.settings import differences
from fakevm.names import check_lab, project
from fakevm.recipe import decide
from fakevm.recipe.settings import Wishes


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """A lab as it would be."""

    changes: tuple[Done, ...]
    # Whether its Neutron can be asked.
    runs: bool
    hosts: tuple[str, ...]

    def with_what_is_in_it(self, inside: Converged) -> Converged:
        """Return what would be done in all."""
        return replace(inside, changes=(*self.changes, *inside.changes))


def of(lab: str, wishes: Wishes, *, engine: Engine) -> DryRun:
    """Return what would be done so that a lab is as wished."""
    containers = engine.containers(project=project(check_lab(lab)))
    networks = engine.networks()
    existing = decide.existing_of(lab, wishes, containers, networks, engine=engine)
    wanted = decide.wanted_of(lab, wishes, existing, networks)
    if not existing.containers:
        words = f"{wanted.backend.title}, {wanted.computes} compute hosts"
        changes = [_done("create", lab, words)]
    else:
        there = decide.wanted_of(lab, Wishes(), existing, networks)
        found = differences(wanted, there)
        if stopped := [one.service for one in existing.containers if not one.running]:
            found.append(f"{', '.join(sorted(stopped))} started")
        changes = [_done("change", lab, "; ".join(found))] if found else []
    runs = any(one.service == "neutron-api" and one.running for one in existing.containers)
    return DryRun(changes=tuple(changes), runs=runs, hosts=wanted.hosts)


def _done(action: str, lab: str, detail: str) -> Done:
    return Done(action=action, kind="lab", name=lab, detail=detail, outcome="planned")
