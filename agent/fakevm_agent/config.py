"""The agent's options, by oslo.config."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg

from fakevm.names import AGENT_SOCKET

_GROUP = "fakevm"

_DEFAULT_OPTS = [
    cfg.HostAddressOpt(
        "host",
        sample_default="the host's name",
        help="This host's name, as Neutron has it in binding:host_id: the same as the host option "
        "of its L2 agent.",
    ),
    cfg.BoolOpt("debug", default=False, help="Log what the libraries do, too."),
]

_FAKEVM_OPTS = [
    cfg.StrOpt(
        "socket_path",
        default=AGENT_SOCKET,
        help="The Unix socket that the agent listens on. Nothing else listens.",
    ),
    cfg.StrOpt(
        "state_path",
        default="/run/fakevm/vms",
        help="The folder with one folder for each VM: what its processes see as /run, "
        "/etc/resolv.conf and the like. It holds nothing that a restart needs.",
    ),
    cfg.StrOpt(
        "ovsdb_connection",
        default="unix:/var/run/openvswitch/db.sock",
        help="Open vSwitch's database.",
    ),
    cfg.IntOpt(
        "ovsdb_timeout",
        default=10,
        min=1,
        help="Seconds that Open vSwitch's database has for an answer.",
    ),
    cfg.StrOpt(
        "integration_bridge",
        default="br-int",
        help="The bridge of VIFs whose binding names none.",
    ),
    cfg.IntOpt(
        "ofport_timeout",
        default=10,
        min=1,
        help="Seconds that ovs-vswitchd has to open the device of a new VIF.",
    ),
    cfg.URIOpt(
        "neutron_url",
        default="http://neutron-api:9696",
        schemes=["http"],
        help="The lab's Neutron. At its start the agent asks it which VMs are on other hosts by "
        "now.",
    ),
    cfg.URIOpt(
        "keystone_url",
        default="http://keystone:5000/v3",
        schemes=["http"],
        help="The lab's Keystone, if it has one.",
    ),
    cfg.StrOpt(
        "keystone_login",
        default="",
        secret=True,
        help="The request for a token by which the agent asks Neutron, as JSON; empty in a lab "
        "without Keystone.",
    ),
    cfg.FloatOpt(
        "neutron_timeout",
        default=2.0,
        min=0.1,
        help="Seconds that VMs wait for Neutron's answer before they are made again without it.",
    ),
    cfg.FloatOpt(
        "idle_s",
        default=300.0,
        min=0.0,
        help="Seconds without a client after which the agent falls asleep: it gives its memory "
        "back, and the next client waits some tenths of a second longer. 0: it never does.",
    ),
    cfg.IntOpt(
        "workers",
        default=64,
        min=1,
        help="Requests that work side by side; more wait their turn.",
    ),
]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options for oslo-config-generator."""
    return [("DEFAULT", _DEFAULT_OPTS), (_GROUP, _FAKEVM_OPTS)]


def load(arguments: Sequence[str]) -> Any:
    """Return the options of this process, from files, the environment and the command line."""
    # The global object: os-vif reads its own section there.
    conf = cfg.CONF
    conf.register_opts(_DEFAULT_OPTS)
    conf.register_opts(_FAKEVM_OPTS, group=_GROUP)
    conf.set_default("host", socket.gethostname())
    conf(list(arguments), project="fakevm", prog="fakevm-agent", default_config_dirs=[])
    return conf


def state_path(conf: Any) -> Path:
    """Return the folder of the VMs' folders."""
    return Path(conf.fakevm.state_path)
