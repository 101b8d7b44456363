"""What was made is undone where the rest of it fails."""

import logging
from collections.abc import Callable
from contextlib import ExitStack

from fakevm.errors import FakevmError

LOG = logging.getLogger(__name__)


def push(undo: ExitStack, function: Callable[..., object], *arguments: object) -> None:
    """Have an undo done on failure, where its own failure must not hide the first one."""

    def undone() -> None:
        try:
            function(*arguments)
        except (FakevmError, OSError) as error:
            LOG.error("undoing: %s", error)

    undo.callback(undone)
