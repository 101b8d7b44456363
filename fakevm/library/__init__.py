"""A lab's networks, routers, security groups and VMs as objects, for tests and scripts."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.library import (
        begin,
        found,
        lab,
        making,
        network,
        reach,
        router,
        security_group,
        vm,
    )

    __all__ = [
        "begin",
        "found",
        "lab",
        "making",
        "network",
        "reach",
        "router",
        "security_group",
        "vm",
    ]

__getattr__ = lazy.modules(__name__)
