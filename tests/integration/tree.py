"""A working tree of Neutron's, as a developer has one: a release's source, and edits of it."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

from tests.integration import plain

AGENT = "neutron/plugins/ml2/drivers/openvswitch/agent/ovs_neutron_agent.py"

# What 29.0.0's commit “OVS: Prevent source agent to process ports being migrated” has added.
SKIPS_MIGRATED = {
    AGENT: """\
                # The port is migrated to another host, so avoid
                # treat_vif_port totally for this port device
                continue
""",
    "neutron/agent/rpc.py": """\
        if not migrating_to and port_obj.device_owner.startswith(
                constants.DEVICE_OWNER_COMPUTE_PREFIX):
            inactive_binding = utils.get_port_binding_by_status_and_host(
                port_obj.bindings, constants.INACTIVE)
            if inactive_binding and inactive_binding.host != host:
                migrating_to = inactive_binding.host
""",
}


def sdist(release: str, folder: Path) -> Path:
    """Return the source of a release, unpacked."""
    pip = (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "neutron")
    plain.run(*pip, "-d", folder, f"neutron=={release}")
    (packed,) = folder.glob("neutron-*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    return folder / packed.name.removesuffix(".tar.gz")


def replace(path: Path, old: str, new: str) -> None:
    """Change the one place where a file has this text."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
    path.write_text(text.replace(old, new), encoding="utf-8")


def say(tree: Path, words: str) -> None:
    """Let an L2 agent log some words as soon as it runs."""
    begin = "    def rpc_loop(self, polling_manager):\n"
    replace(tree / AGENT, begin, f"{begin}        LOG.warning({words!r})\n")
