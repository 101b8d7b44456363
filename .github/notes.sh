#!/bin/sh
# What CHANGELOG.md says of a release: notes.sh 1.2.3. It must say something.
set -eu

notes=$(awk -v version="$1" '
    /^## / { on = ($2 == version || $2 == version ","); next }
    on' "$(dirname "$0")/../CHANGELOG.md")
[ -n "$notes" ] || {
    echo "CHANGELOG.md has no section $1" >&2
    exit 1
}
printf '%s\n' "$notes"
