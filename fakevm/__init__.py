"""A real OpenStack Neutron with emulated VMs to serve; `Lab` is the library's face."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm import lab
    from fakevm.evidence.values import Evidence, Pair
    from fakevm.library.lab import Lab
    from fakevm.library.network import Network
    from fakevm.library.reach import UnreachedError
    from fakevm.library.router import Router
    from fakevm.library.security_group import SecurityGroup
    from fakevm.library.vm import Completed, Vm
    from fakevm.testing.cloud import Cloud

    __all__ = [
        "Cloud",
        "Completed",
        "Evidence",
        "Lab",
        "Network",
        "Pair",
        "Router",
        "SecurityGroup",
        "UnreachedError",
        "Vm",
        "lab",
    ]

__getattr__ = lazy.modules(
    __name__,
    Cloud="fakevm.testing.cloud",
    Completed="fakevm.library.vm",
    Evidence="fakevm.evidence.values",
    Lab="fakevm.library.lab",
    Network="fakevm.library.network",
    Pair="fakevm.evidence.values",
    Router="fakevm.library.router",
    SecurityGroup="fakevm.library.security_group",
    UnreachedError="fakevm.library.reach",
    Vm="fakevm.library.vm",
)
