#!/bin/sh
# Make a virtual environment: ensure-venv.sh PYTHON FOLDER. Debian's python3 comes without venv.
set -eu

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

if ! command -v "$1" >/dev/null || ! "$1" -c 'import ensurepip, venv' 2>/dev/null; then
    say "installing python3-venv"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
fi
"$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    say "Python 3.11 or later is needed; $1 is $("$1" --version): make PYTHON=python3.12 …"
    exit 1
}
"$1" -m venv "$2"
