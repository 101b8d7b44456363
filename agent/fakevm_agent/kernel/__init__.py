"""Linux by system calls: namespaces, processes, netlink. Any package of the agent may import it."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm_agent.kernel import devices

    __all__ = ["devices"]

__getattr__ = lazy.modules(__name__)
