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


def source(name: str) -> Path:
    """Return where a file or folder of the repository is here, by its path there."""
    package = Path(__file__).resolve().parents[1]
    root = files()
    if root == package.parent:
        return root / name
    if name.startswith("fakevm/"):
        return package.parent / name
    if name.startswith("agent/"):
        agent = find_spec("fakevm_agent")
        if agent is None or agent.origin is None:
            raise FakevmError("the package fakevm_agent is missing")
        return Path(agent.origin).parents[1] / name.removeprefix("agent/")
    return root / name


@contextmanager
def build_context(root: Path) -> Iterator[Path]:
    """Give a folder with the layout of the repository, from which the images can be built."""
    if root == Path(__file__).resolve().parents[2]:
        yield root
        return
    without = shutil.ignore_patterns("__pycache__", "share")
    with tempfile.TemporaryDirectory(prefix="fakevm-build-") as folder:
        copy = Path(folder)
        shutil.copytree(root, copy, dirs_exist_ok=True)
        for name in ("fakevm", "agent/fakevm_agent"):
            shutil.copytree(source(f"{name}/"), copy / name, ignore=without)
        yield copy


def ca_bundle() -> str:
    """Return the certificates that this machine trusts, a company's proxy among them."""
    named = (os.environ.get(name, "") for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))
    for path in (*named, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/cert.pem"):
        if path and Path(path).is_file():
            return path
    return ""
