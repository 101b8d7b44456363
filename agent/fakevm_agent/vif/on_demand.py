"""os-vif, loaded when something is plugged: half of what the agent loads is for it alone."""

from threading import Lock
from typing import Any

from fakevm_agent import vif


class OsVifOnDemand:
    """What `osvif.OsVif` is, from its first use on."""

    def __init__(self, conf: Any) -> None:
        self._conf = conf
        self._lock = Lock()
        self._loaded: Any = None
        self._connected = False

    def connect(self) -> None:
        """Load it now; FakevmError: Open vSwitch's database does not answer."""
        with self._lock:
            if self._loaded is None:
                self._loaded = vif.osvif.OsVif(self._conf)
            if not self._connected:
                self._loaded.connect()
                self._connected = True

    def __getattr__(self, name: str) -> Any:
        self.connect()
        return getattr(self._loaded, name)
