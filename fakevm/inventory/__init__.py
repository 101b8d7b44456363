"""VMs and their NICs, as Neutron and the hosts have them: found by a user's words, told. Imports clients."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.inventory import addresses, between, dhcp, overview, several, vifs

    __all__ = ["addresses", "between", "dhcp", "overview", "several", "vifs"]

__getattr__ = lazy.modules(__name__)
