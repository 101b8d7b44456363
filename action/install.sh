#!/usr/bin/env bash
# Install fakevm of this action's own tree, in a virtual environment that the steps after it have on their PATH.
# shellcheck source=action/common.sh
. "$(dirname "$0")/common.sh"

if ! [[ $LAB =~ ^[a-z0-9][a-z0-9-]{0,30}$ ]]; then
    echo "::error::'$LAB' is no lab's name: at most 31 of a-z, 0-9 and '-' are expected, no '-' first"
    exit 2
fi
mkdir -p "$FOLDER"
# The second lab of a job finds it.
[ -x "$FOLDER/venv/bin/pip" ] || python3 -m venv "$FOLDER/venv"
words "$PACKAGES"
pip install --quiet --disable-pip-version-check "$HERE/.." "${WORDS[@]}"
fakevm --version
echo "$FOLDER/venv/bin" >>"$GITHUB_PATH"
echo "VIRTUAL_ENV=$FOLDER/venv" >>"$GITHUB_ENV"
echo "scripts=$HERE" >>"$GITHUB_OUTPUT"
