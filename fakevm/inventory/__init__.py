"""VMs and their NICs, as Neutron and hosts have them: found, told. Imports protocol, clients."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.inventory import addresses, between, dhcp, overview, several, vifs

    __all__ = ["addresses", "between", "dhcp", "overview", "several", "vifs"]

__getattr__ = lazy.modules(__name__)
