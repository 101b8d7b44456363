"""Nova's answers to a VM that asks for its metadata, by way of Neutron's metadata agents.

Source: nova/api/metadata/handler.py and base.py of Nova 34. An agent says which VM asks, and
signs it.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping

from fakevm.model import Server
from fakevm_agent.nova_events.nova_api import Answer, Request

# Of what Nova has, the VM's description, in any of its versions.
_DESCRIPTION = re.compile(r"/openstack/(latest|20[0-9]{2}-[0-9]{2}-[0-9]{2})/meta_data\.json")

# dnsmasq's limit, the lowest that Nova knows of.
_HOSTNAME_LEN = 63

# [api]dhcp_domain of Nova, as it is by default.
_DOMAIN = "novalocal"


def is_for(path: str) -> bool:
    """Tell whether a request is for Nova's metadata API, which has a port of its own there."""
    return path.startswith("/openstack")


def answer(request: Request, servers: Mapping[str, Server], *, secret: str) -> Answer:
    """Return the description of the VM that asks, signed with the secret that the agents share."""
    instance_id = request.headers.get("x-instance-id", "")
    tenant_id = request.headers.get("x-tenant-id", "")
    if not instance_id or not tenant_id:
        return _fault(400, "X-Instance-ID or X-Tenant-ID header is missing from request.")
    signed = hmac.new(secret.encode(), instance_id.encode(), hashlib.sha256).hexdigest()
    said = request.headers.get("x-instance-id-signature", "")
    if not hmac.compare_digest(signed.encode(), said.encode()):
        return _fault(403, "Invalid proxy request signature.")
    if instance_id not in servers:
        return _fault(404, f"No server {instance_id} is known.")
    if not _DESCRIPTION.fullmatch(request.path):
        return _fault(404, f"There is no {request.path}: only /openstack/latest/meta_data.json.")
    server = servers[instance_id]
    name = server.name or instance_id
    return Answer(
        status=200,
        body={
            "uuid": instance_id,
            "name": name,
            "hostname": hostname(name, instance_id),
            "project_id": tenant_id,
            "availability_zone": "nova",
            "launch_index": 0,
            "meta": {},
        },
    )


def hostname(name: str, instance_id: str) -> str:
    """Return what Nova calls a server in its own network.

    nova: utils.sanitize_hostname, API._populate_instance_names where it leaves nothing.
    """
    latin = name.encode("latin-1", "ignore").decode("latin-1")[:_HOSTNAME_LEN]
    kept = re.sub(r"[^\w-]+", "", re.sub(r"[ _.]", "-", latin)).lower().strip("-")
    return f"{kept or f'Server-{instance_id}'}.{_DOMAIN}"


def _fault(status: int, message: str) -> Answer:
    return Answer(status=status, body={"message": message})
