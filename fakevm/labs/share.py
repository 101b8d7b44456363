"""The lab's own files: Compose's and the images', in a checkout or an installed package."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from fakevm.errors import FakevmError


def files() -> Path:
    """Return the folder of the lab's files: the checkout, or the installed package's share."""
    package = Path(__file__).resolve().parents[1]
    for root in (package / "share", package.parent):
        if (root / "docker-compose.yml").is_file() and (root / "compose").is_dir():
            return root
    raise FakevmError("the lab's files are missing", hint="pip install --force-reinstall fakevm")


@contextmanager
def build_context(root: Path) -> Iterator[Path]:
    """Give a folder with the layout of the repository, from which the images can be built."""
    package = Path(__file__).resolve().parents[1]
    if root == package.parent:
        yield root
        return
    agent = find_spec("fakevm_agent")
    if agent is None or agent.origin is None:
        raise FakevmError("the package fakevm_agent is missing")
    without = shutil.ignore_patterns("__pycache__", "share")
    with tempfile.TemporaryDirectory(prefix="fakevm-build-") as folder:
        copy = Path(folder)
        shutil.copytree(root, copy, dirs_exist_ok=True)
        shutil.copytree(package, copy / "fakevm", ignore=without)
        shutil.copytree(Path(agent.origin).parent, copy / "agent" / "fakevm_agent", ignore=without)
        yield copy


def ca_bundle() -> str:
    """Return the certificates that this machine trusts, a company's proxy among them."""
    named = (os.environ.get(name, "") for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))
    for path in (*named, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/cert.pem"):
        if path and Path(path).is_file():
            return path
    return ""
