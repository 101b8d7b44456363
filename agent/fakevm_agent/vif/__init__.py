"""VIF drivers: what is between a VIF's device and who wires it. `host` and above import it."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm_agent.vif import osvif

    __all__ = ["osvif"]

__getattr__ = lazy.modules(__name__)
