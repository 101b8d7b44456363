"""Who sends a request: the service of the lab at an address."""

import asyncio
import re
import socket


async def name_of(address: str) -> str:
    """Return the name of the service at an address, or the address."""
    try:
        found, _ = await asyncio.get_running_loop().getnameinfo((address, 0), socket.NI_NAMEREQD)
    except OSError:
        return address
    return service_of(found) or address


def service_of(name: str) -> str:
    """Return the Compose service that the engine's DNS means; "" if it names none.

    It answers an address with "PROJECT-SERVICE-NUMBER.PROJECT_NETWORK".
    """
    container, _, network = name.partition(".")
    project = network.rpartition("_")[0]
    match = re.fullmatch(rf"{re.escape(project)}-(.+)-\d+", container)
    return match[1] if project and match else ""
