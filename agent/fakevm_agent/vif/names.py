"""Names of bridges and devices, as Nova and os-vif have them."""

from fakevm.model import NIC_NAME_LEN, Vif


def bridge_name(vif: Vif, default: str) -> str:
    """Return the bridge that the VIF is plugged into, cut as Nova cuts it."""
    return str(vif.vif_details.get("bridge_name") or default)[:NIC_NAME_LEN]


def device_name(prefix: str, port_id: str) -> str:
    """Return the name of one of a port's devices: its kind and the port's id, cut."""
    return f"{prefix}{port_id}"[:NIC_NAME_LEN]


def tap_name(port_id: str) -> str:
    """Return the name of a VIF's device, as Vif.device has it."""
    return device_name("tap", port_id)
