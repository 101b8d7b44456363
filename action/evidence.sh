#!/usr/bin/env bash
# What can be seen of a lab, as an archive in a folder; in short in the job's log: evidence.sh LAB FOLDER.
# shellcheck source=action/common.sh
. "$(dirname "$0")/common.sh"

mkdir -p "$2"
# Each by itself: a lab of which one thing can't be told is the one to be looked at.
for command in "status" "list" "logs --tail 20"; do
    echo "::group::fakevm $command"
    # shellcheck disable=SC2086  # words
    fakevm --lab "$1" $command || true
    echo "::endgroup::"
done
fakevm logs --lab "$1" --export "$2/$1.tgz" || true
