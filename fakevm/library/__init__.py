"""A lab's networks, routers, VMs and all else of a lab file as objects, for tests and scripts."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.library import (
        floating_ip,
        guest,
        lab,
        network,
        qos_policy,
        reach,
        router,
        security_group,
        trunk,
        vm,
    )

    __all__ = [
        "floating_ip",
        "guest",
        "lab",
        "network",
        "qos_policy",
        "reach",
        "router",
        "security_group",
        "trunk",
        "vm",
    ]

__getattr__ = lazy.modules(__name__)
