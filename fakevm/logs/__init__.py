"""What a lab's containers say, and a bug report with all of it. Imports labs, clients."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.logs import bug_report, follow, lines

    __all__ = ["bug_report", "follow", "lines"]

__getattr__ = lazy.modules(__name__)
