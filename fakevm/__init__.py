"""A real OpenStack Neutron with emulated VMs to serve; `Lab` is the library's face."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm import lab
    from fakevm.evidence.values import Evidence, Pair
    from fakevm.library.floating_ip import FloatingIp
    from fakevm.library.guest import Completed
    from fakevm.library.lab import Lab
    from fakevm.library.network import Network
    from fakevm.library.qos_policy import QosPolicy
    from fakevm.library.reach import UnreachedError
    from fakevm.library.router import Router
    from fakevm.library.security_group import SecurityGroup
    from fakevm.library.trunk import Trunk
    from fakevm.library.vm import Vm
    from fakevm.testing.cloud import Cloud

    __all__ = [
        "Cloud",
        "Completed",
        "Evidence",
        "FloatingIp",
        "Lab",
        "Network",
        "Pair",
        "QosPolicy",
        "Router",
        "SecurityGroup",
        "Trunk",
        "UnreachedError",
        "Vm",
        "lab",
    ]

__getattr__ = lazy.modules(
    __name__,
    Cloud="fakevm.testing.cloud",
    Completed="fakevm.library.guest",
    Evidence="fakevm.evidence.values",
    FloatingIp="fakevm.library.floating_ip",
    Lab="fakevm.library.lab",
    Network="fakevm.library.network",
    Pair="fakevm.evidence.values",
    QosPolicy="fakevm.library.qos_policy",
    Router="fakevm.library.router",
    SecurityGroup="fakevm.library.security_group",
    Trunk="fakevm.library.trunk",
    UnreachedError="fakevm.library.reach",
    Vm="fakevm.library.vm",
)
