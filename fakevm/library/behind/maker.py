"""What can be made in a lab, each thing by a method: by a lab itself, and by a test's cloud."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import fakevm.lab
from fakevm import library

if TYPE_CHECKING:
    from typing import Unpack

    from fakevm.library.behind.words import (
        EachNicWords,
        FloatingIpWords,
        NetworkLike,
        NetworkWords,
        NicLike,
        NicWords,
        QosPolicyWords,
        RouterWords,
        SecurityGroupWords,
        TrunkWords,
    )
    from fakevm.library.floating_ip import FloatingIp
    from fakevm.library.network import Network
    from fakevm.library.qos_policy import QosPolicy
    from fakevm.library.router import Router
    from fakevm.library.security_group import SecurityGroup
    from fakevm.library.trunk import Trunk
    from fakevm.library.vm import Vm


class Maker(ABC):
    """Makes things in a lab. What is there is changed to what is asked for, as by a lab file."""

    @property
    @abstractmethod
    def _made_in(self) -> fakevm.lab.Lab:
        """The lab."""

    def _called(self, name: str) -> str:
        """Return what a thing of this name is called in the lab."""
        return name

    def network(self, name: str, **words: Unpack[NetworkWords]) -> Network:
        """Make a network with its subnets; return it."""
        return library.network.make(self._made_in, self._called(name), words)

    def router(self, name: str, **words: Unpack[RouterWords]) -> Router:
        """Make a router between networks, or subnets; return it."""
        return library.router.make(self._made_in, self._called(name), words)

    def security_group(self, name: str, **words: Unpack[SecurityGroupWords]) -> SecurityGroup:
        """Make a security group with its rules, as "ingress tcp 80"; return it."""
        return library.security_group.make(self._made_in, self._called(name), words)

    def qos_policy(self, name: str, **words: Unpack[QosPolicyWords]) -> QosPolicy:
        """Make a QoS policy with its rules, for networks and NICs; return it."""
        return library.qos_policy.make(self._made_in, self._called(name), words)

    def vm(
        self,
        name: str,
        *,
        on: str | None = None,
        networks: Sequence[NetworkLike] = (),
        nics: Sequence[NetworkLike | NicWords] = (),
        timeout_s: float = fakevm.lab.FILE_S,
        **each: Unpack[EachNicWords],
    ) -> Vm:
        """Boot a VM with a NIC on each of these networks, or with these NICs; return it.

        on: its host, or else the one with the fewest. What is said of `each` NIC is so, unless it
        has its own words. It is there when its ports are ACTIVE and it has its addresses.
        """
        return library.vm.make(
            self._made_in,
            self._called(name),
            on=on,
            networks=networks,
            nics=nics,
            timeout_s=timeout_s,
            **each,
        )

    def trunk(self, name: str, **words: Unpack[TrunkWords]) -> Trunk:
        """Make a VM's NIC a trunk that carries subports of other networks, each in a VLAN.

        The NIC leaves its VM for that time, since ML2/OVS takes none that is bound: a VM that has
        no other one boots anew.
        """
        return library.trunk.make(self._made_in, self._called(name), words)

    def floating_ip(self, nic: NicLike, **words: Unpack[FloatingIpWords]) -> FloatingIp:
        """Give a VM's NIC an address of an external network, to which a router leads; return it."""
        return library.floating_ip.make(self._made_in, nic, words)
