#!/bin/sh
# constraints.sh RELEASE UPPER_CONSTRAINTS: write constraints/RELEASE.txt, every package for a release of Neutron, and
# for the Keystone of its series, whose number is higher by one.
#
# UPPER_CONSTRAINTS is OpenStack's for the release's series, a file or an address, as
# https://releases.openstack.org/constraints/upper/2026.1 is for 28. What it does not name is the newest of today.
# pip runs in the image of the release that is there, for its Python.
set -eu

release=$1
upper=$2
cd "$(dirname "$0")"
image=fakevm/neutron:${FAKEVM_NEUTRON_VERSION:-28.0.2}
ca=${FAKEVM_CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $upper in
http*) curl --fail --silent --show-error --location "$upper" ;;
*) cat "$upper" ;;
esac >"$work/upper.txt"
cp requirements.txt "$work"

docker run --rm --volume "$work:/pins:ro" --volume "$ca:/ca.pem:ro" --env PIP_CERT=/ca.pem "$image" sh -c '
    PYTHONPATH=$(echo /usr/share/python-wheels/pip-*.whl) python -m pip install --quiet --dry-run --ignore-installed \
        --disable-pip-version-check --root-user-action=ignore --report - \
        --constraint /pins/upper.txt --requirement /pins/requirements.txt pytest "neutron==$0" "keystone==$1.*"' \
    "$release" "$((${release%%.*} + 1))" >"$work/report"
python3 -c '
import json, sys
found = {one["metadata"]["name"]: one["metadata"]["version"] for one in json.load(sys.stdin)["install"]}
own = {"neutron", "fakevm"}
lines = [f"{name}=={version}" for name, version in sorted(found.items(), key=lambda one: one[0].lower()) if name not in own]
print(f"# Neutron {sys.argv[1]}, what stands in requirements.txt, Keystone, and what our tests need, no more.")
print("\n".join(lines))
' "$release" <"$work/report" >"$work/new.txt"
mv "$work/new.txt" "constraints/$release.txt"
echo "$(pwd)/constraints/$release.txt: $(grep -c == "constraints/$release.txt") packages"
