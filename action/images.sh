#!/usr/bin/env bash
# The lab's images and the cache: their key, and from and to its archive.
# shellcheck source=action/common.sh
. "$(dirname "$0")/common.sh"

case $1 in
key)
    # Whatever they are made from, and which of them a lab has: as the job says, or its lab file.
    words "$ARGS"
    key=$(python - "$NEUTRON" "$BACKEND" "${WORDS[@]}" <<'END'
import hashlib, sys
from types import SimpleNamespace
from fakevm import labfile
from fakevm.cli.lab.labs import up
from fakevm.recipe import images, releases

release, backend, *words = sys.argv[1:]
given = SimpleNamespace(**up.make_context("up", words, resilient_parsing=True).params)
text = labfile.find.text(given.topo)
file = labfile.document.read(text.data if text else b"{}", text.name if text else "")
sources = images.sources(release or given.neutron_version or file.neutron or releases.DEFAULT)
which = backend or given.backend or file.backend, given.auth or file.auth
hosts = sorted(given.host_neutron), sorted(file.host_neutron.items())
print(hashlib.sha256(repr((sorted(sources.items()), which, hosts)).encode()).hexdigest()[:16])
END
    )
    echo "key=$key" >>"$GITHUB_OUTPUT"
    # Its own for each lab of a job: the cache takes them at the job's end.
    echo "archive=$FOLDER/$LAB-images.tar" >>"$GITHUB_OUTPUT"
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
