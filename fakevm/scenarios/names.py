"""The scenarios' names, for who must not wait until the scenarios are imported."""

from __future__ import annotations

# In the order of their letters, as known.SCENARIOS.
NAMES = (
    "stays-down",
    "stale-binding",
    "delete-active-binding",
    "bind-nowhere",
    "late-tap",
    "early-plugged",
    "lost-rarp",
    "untagged-window",
    "ignored-after-reboot",
    "back-too-soon",
    "forgotten-network",
    "rolled-back-down",
    "arrived-down",
    "plugged-unwired",
    "never-retried",
    "barred-dhcp",
    "former-vlan",
    "moved-gateway",
    "ipv6-metadata",
    "moved-dhcp",
    "marked-connections",
    "lost-tunnels",
    "hung-agent",
    "few-tunnels",
)
