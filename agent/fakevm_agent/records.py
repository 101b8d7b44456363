"""What is kept of a VIF in this host: a record in Open vSwitch's database, a device's alias."""

from dataclasses import dataclass

from fakevm.model import Vif, Vm
from fakevm_agent.kernel.netlink import Link

_MARK = "fakevm"
# IFALIASZ less the final zero.
_ALIAS_MAX = 255


@dataclass(frozen=True, kw_only=True)
class Record:
    """What OVSDB keeps of a VIF, so that a host that restarts can make it again."""

    vif: Vif
    vm: Vm
    nic: str
    configured: bool = False
    # The guest is paused, as on the destination of a live migration: its NIC is down and has no
    # address, since the same VM still talks on its source.
    paused: bool = False


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose a device is, as its alias says: what is left to know when the OVS port is gone."""

    port_id: str
    instance_id: str
    nic: str
    vm_name: str = ""

    def alias(self) -> str:
        """Return the device's alias, cut to what the kernel takes."""
        words = [_MARK, self.port_id, self.instance_id, self.nic, self.vm_name]
        return " ".join(words).encode()[:_ALIAS_MAX].decode(errors="ignore")

    @classmethod
    def of(cls, link: Link) -> "Owner | None":
        """Return the owner of a device, or None where it is not the agent's."""
        words = link.alias.split(" ", 4)
        if len(words) < 4 or words[0] != _MARK:
            return None
        return cls(
            port_id=words[1],
            instance_id=words[2],
            nic=words[3],
            vm_name=words[4] if len(words) > 4 else "",
        )


def owner_of(record: Record) -> Owner:
    """Return the owner that the record's device has or should have."""
    return Owner(
        port_id=record.vif.port_id,
        instance_id=record.vm.instance_id,
        nic=record.nic,
        vm_name=record.vm.name,
    )
