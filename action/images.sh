#!/usr/bin/env bash
# The lab's images and the cache: their key, and from and to its archive.
# shellcheck source=action/common.sh
. "$(dirname "$0")/common.sh"

case $1 in
key)
    # Whatever they are made from, and which of them a lab has.
    key=$(python - "$NEUTRON" "$BACKEND" "$ARGS" <<'END'
import hashlib, sys
from fakevm.labs import images, releases

release, *others = sys.argv[1:]
sources = images.sources(release or releases.DEFAULT)
print(hashlib.sha256(repr((sorted(sources.items()), others)).encode()).hexdigest()[:16])
END
    )
    echo "key=$key" >>"$GITHUB_OUTPUT"
    echo "archive=$ARCHIVE" >>"$GITHUB_OUTPUT"
    ;;
load)
    docker load --quiet --input "$ARCHIVE"
    # 1 GB of a disk that has 14.
    rm "$ARCHIVE"
    ;;
save)
    mapfile -t images < <(
        docker ps --all --filter "label=fakevm.lab=$LAB" --format '{{.Image}}' | sort -u)
    docker save --output "$ARCHIVE" "${images[@]}"
    ;;
esac
