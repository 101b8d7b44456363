"""VMs, their ports and NICs: made, attached, removed. Imports inventory, protocol, clients."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.vms import (
        attach,
        boot,
        cleanup,
        given,
        ports,
        removal,
        requests,
    )

    __all__ = [
        "attach",
        "boot",
        "cleanup",
        "given",
        "ports",
        "removal",
        "requests",
    ]

__getattr__ = lazy.modules(__name__)
