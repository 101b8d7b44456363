from __future__ import annotations

from fakevm_agent.guest.addressing import last_words

SAID = """\
Internet Systems Consortium DHCP Client 4.4.3-P1
Listening on LPF/eth0/fa:16:3e:1b:35:45
Sending on   LPF/eth0/fa:16:3e:1b:35:45
Sending on   Socket/fallback
DHCPDISCOVER on eth0 to 255.255.255.255 port 67 interval 2
DHCPDISCOVER on eth0 to 255.255.255.255 port 67 interval 3
DHCPDISCOVER on eth0 to 255.255.255.255 port 67 interval 11
"""


def test_what_a_client_says_again_and_again_is_told_once() -> None:
    asks = "DHCPDISCOVER on eth0 to 255.255.255.255 port 67"
    assert last_words(SAID).endswith(f" / {asks}")
    assert last_words(f"{SAID}No DHCPOFFERS received.\n") == f"{asks} / No DHCPOFFERS received."


def test_sockets_and_boilerplate_are_left_out() -> None:
    reason = "eth0: no link-local IPv6 address for interface"
    advice = (
        "If you think you have received this message due to a bug rather\nthan a misconfiguration"
    )
    assert last_words(f"Listening on Socket/eth0\n{reason}\n\n{advice}\n") == reason
    assert last_words("") == ""
