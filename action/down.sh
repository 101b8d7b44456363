#!/usr/bin/env bash
# The end of a job: what can be seen of its lab, if it failed, and the lab goes: down.sh LAB STATUS FOLDER.
# shellcheck source=action/common.sh
. "$(dirname "$0")/common.sh"

if [ "$2" != success ] && [ ! -e "$3/$1.tgz" ]; then
    bash "$HERE/evidence.sh" "$1" "$3"
fi
fakevm down --name "$1"
