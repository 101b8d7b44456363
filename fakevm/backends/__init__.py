"""What differs between backends, a module for each behind one interface. Imports neutron."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.backends import datapath, known, openflow, ovn_pipeline, ovs_pipeline

    __all__ = ["datapath", "known", "openflow", "ovn_pipeline", "ovs_pipeline"]

__getattr__ = lazy.modules(__name__)
