"""What `docker buildx bake` is to publish of one release of Neutron, for one architecture.

bake.py RELEASE ARCH: its file, as JSON. bake.py: the releases; bake.py RELEASE: the images' names.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fakevm.recipe import images, published, releases, share


def names(release: str) -> dict[str, str]:
    """Return what the images of a release are published as, by their targets."""
    found = {target: images.source(target, release) for target in images.TARGETS}
    return {target: published.name(target, label) for target, label in found.items()}


def document(release: str, arch: str) -> dict[str, Any]:
    """Return the file: each image with its label, its SBOM and its provenance."""
    targets = {
        target: {
            "context": ".",
            "dockerfile": "images/Dockerfile",
            "target": target,
            "args": {"NEUTRON_VERSION": release},
            "labels": {"fakevm.source": images.source(target, release)},
            "platforms": [f"linux/{arch}"],
            "tags": [f"{name}-{arch}"],
            "attest": ["type=sbom", "type=provenance,mode=max"],
            "output": ["type=registry"],
        }
        for target, name in names(release).items()
    }
    return {"group": {"default": {"targets": list(targets)}}, "target": targets}


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            print(json.dumps(releases.supported(Path(share.files()))))
        case [release]:
            print(*names(release).values(), sep="\n")
        case [release, arch]:
            print(json.dumps(document(release, arch), indent=2))
