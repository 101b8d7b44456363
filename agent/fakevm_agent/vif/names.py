"""Names of bridges and devices, as Nova and os-vif have them."""

from fakevm.model import NIC_NAME_LEN, Vif


def is_hybrid(vif: Vif) -> bool:
    """Tell whether a Linux bridge stands between the device and Open vSwitch."""
    return bool(vif.vif_details.get("ovs_hybrid_plug", False))


def bridge_name(vif: Vif, default: str) -> str:
    """Return the bridge that the VIF is plugged into, cut as Nova cuts it."""
    return str(vif.vif_details.get("bridge_name") or default)[:NIC_NAME_LEN]


def port_name(vif: Vif) -> str:
    """Return the name of the interface in Open vSwitch."""
    return hybrid_name("qvo", vif.port_id) if is_hybrid(vif) else vif.device


def port_names(port_id: str) -> tuple[str, str]:
    """Return the names that a port's interface may have: plain and hybrid."""
    return hybrid_name("tap", port_id), hybrid_name("qvo", port_id)


def hybrid_name(prefix: str, port_id: str) -> str:
    """Return the name of one of a port's devices, of which a hybrid plug has four."""
    return f"{prefix}{port_id}"[:NIC_NAME_LEN]
