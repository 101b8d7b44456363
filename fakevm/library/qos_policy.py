"""A QoS policy of a lab."""

from __future__ import annotations

from dataclasses import dataclass

from fakevm.lab import FILE_S, Lab
from fakevm.library.behind.making import Making, remove
from fakevm.library.behind.words import QosPolicyWords
from fakevm.library.handle import Resource


@dataclass(frozen=True, kw_only=True)
class QosPolicy(Resource):
    """A QoS policy and its rules."""

    _path = "/qos/policies"
    _member = "policy"

    def delete(self) -> None:
        """Delete it; content if it is gone. ConflictError: a port or a network has it."""
        remove(self.lab, "qos_policy", self.id)


def make(lab: Lab, name: str, words: QosPolicyWords) -> QosPolicy:
    """Let a lab have a QoS policy as these words say."""
    making = Making(lab, "qos_policy", name)
    making.part.rows("policies", name=[name])
    return QosPolicy(lab=lab, name=name, id=making.make(words, timeout_s=FILE_S))
