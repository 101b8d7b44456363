"""What a lab consists of, and the talk with it: engine, agents, events. Imports neutron."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.clients import (
        agents,
        at_once,
        containers,
        docker_api,
        engine,
        engine_socket,
        events,
        keystone,
        log_stream,
        parts,
        process,
        rpc,
    )

    __all__ = [
        "agents",
        "at_once",
        "containers",
        "docker_api",
        "engine",
        "engine_socket",
        "events",
        "keystone",
        "log_stream",
        "parts",
        "process",
        "rpc",
    ]

__getattr__ = lazy.modules(__name__)
