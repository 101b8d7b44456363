"""A router of a lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fakevm.lab import FILE_S, Lab
from fakevm.library.behind.making import Making, remove
from fakevm.library.behind.words import RouterWords
from fakevm.library.handle import Resource


@dataclass(frozen=True, kw_only=True)
class Router(Resource):
    """A router and its interfaces."""

    _path = "/routers"
    _member = "router"

    def delete(self) -> None:
        """Delete it with its interfaces; content if it is gone."""
        remove(self.lab, "router", self.id)


def make(lab: Lab, name: str, words: RouterWords) -> Router:
    """Let a lab have a router as these words say."""
    making = Making(lab, "router", name)
    said: dict[str, Any] = {**words}
    if gateway := words.get("external_gateway"):
        if isinstance(gateway, Mapping):
            said["external_gateway"] = {**gateway, "network": making.network(gateway["network"])}
        else:
            said["external_gateway"] = making.network(gateway)
    said["interfaces"] = [
        {**one, "subnet": making.subnet(one["subnet"])}
        if isinstance(one, Mapping)
        else making.subnet(one)
        for one in words.get("interfaces", ())
    ]
    making.part.router(name=[name])
    return Router(lab=lab, name=name, id=making.make(said, timeout_s=FILE_S))
