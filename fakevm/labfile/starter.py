"""The lab file that `fakevm init` writes, and the line by which an editor knows the schema."""

from __future__ import annotations

from pathlib import Path

SCHEMA = Path(__file__).with_name("schema.json")


def modeline() -> str:
    """Return the line by which an editor's YAML server checks and completes a file."""
    return f"# yaml-language-server: $schema={SCHEMA.as_uri()}\n"


def starter(lab: str) -> str:
    """Return a lab file to begin with."""
    return modeline() + _STARTER.replace("LAB", lab, 1)


_STARTER = """\
# A lab of fakevm's: `fakevm up` makes it so, `fakevm up --dry-run` says what that would do.
name: LAB
# The words of `fakevm up`'s options; what is left out is as the lab has it, or the default.
computes: 2
# backend: ovn
# neutron: 29.0.0
# auth: keystone
# config: neutron.d

networks:
  blue:
    subnets: [10.1.0.0/24]
  red:
    subnets:
      - cidr: 10.2.0.0/24
        # gateway_ip: 10.2.0.254
  # outside:
  #   external: true
  #   network_type: flat
  #   physical_network: physnet1
  #   subnets: [{cidr: 172.24.4.0/24, enable_dhcp: false}]

routers:
  edge:
    interfaces: [blue, red]
    # external_gateway: outside

security_groups:
  web:
    rules:
      - ingress tcp 80 from 0.0.0.0/0
      - ingress icmp

vms:
  web:
    host: compute-1
    nics:
      - network: blue
        security_groups: [web]
        # addressing: static
        # qos_policy: slow
  client:
    nics: [red]

# qos_policies:
#   slow:
#     bandwidth_limit: {egress: {max_kbps: 10000}}
# trunks:
#   uplink:
#     port: client-red
#     sub_ports: [{network: blue, segmentation_id: 100}]
# floating_ips:
#   web: outside
"""
