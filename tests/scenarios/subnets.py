"""A subnet of which nobody asks by DHCP: without a server a network costs less."""

from fakevm.library.behind.words import SubnetWords

SUBNET: SubnetWords = {"cidr": "10.9.0.0/24", "enable_dhcp": False}
