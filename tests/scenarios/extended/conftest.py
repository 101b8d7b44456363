"""Labs with plug-ins, extensions and options that the default one has not."""

from pathlib import Path

import pytest

from fakevm.library.words import LabWords

PLUGINS = {
    "ovs": ["router", "qos", "trunk", "log", "local_ip", "segments"],
    "ovn": ["ovn-router", "qos", "trunk", "port_forwarding"],
}
TYPES = {"ovs": ["flat", "vlan", "vxlan", "gre", "geneve"], "ovn": ["flat", "vlan", "geneve"]}


@pytest.fixture(scope="session")
def lab_words(backend: str) -> LabWords:
    return {
        "service_plugins": PLUGINS[backend],
        "type_drivers": TYPES[backend],
        "extension_drivers": ["port_security", "qos", "uplink_status_propagation"],
        "config": Path(__file__).with_name("config"),
    }
