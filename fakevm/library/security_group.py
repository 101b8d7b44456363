"""A security group of a lab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fakevm.contents.part import Part
from fakevm.lab import FILE_S, Lab
from fakevm.library.behind.making import Making, remove
from fakevm.library.behind.words import SecurityGroupWords
from fakevm.library.handle import Resource
from fakevm.stock import rules


@dataclass(frozen=True, kw_only=True)
class SecurityGroup(Resource):
    """A security group and its rules."""

    _path = "/security-groups"
    _member = "security_group"

    @property
    def rules(self) -> tuple[str, ...]:
        """Its rules in words, as "ingress tcp 80"."""
        part = Part(self.lab)
        part.group(id=[self.id])
        raw = part.raw().found["security_groups"]
        names = {row["id"]: row["name"] for row in raw}
        return tuple(
            sorted(
                str(rules.of_neutron(rule, names.get(rule["remote_group_id"])))
                for row in raw
                if row["id"] == self.id
                for rule in row["security_group_rules"]
            )
        )

    def delete(self) -> None:
        """Delete it; content if it is gone. ConflictError: ports have it."""
        remove(self.lab, "security_group", self.id)


def make(lab: Lab, name: str, words: SecurityGroupWords) -> SecurityGroup:
    """Let a lab have a security group as these words say."""
    making = Making(lab, "security_group", name)
    making.part.group(name=[name])
    for rule in words.get("rules", ()):
        if group := _group_of(rule):
            making.group(group)
    return SecurityGroup(lab=lab, name=name, id=making.make(words, timeout_s=FILE_S))


def _group_of(rule: Any) -> str | None:
    """Return the security group that a rule names; what is no rule is told with the other words."""
    try:
        return rules.parse(rule).group if isinstance(rule, str) else None
    except ValueError:
        return None
