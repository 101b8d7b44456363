#!/usr/bin/env bash
# What the action's scripts share: where its things are on the runner.
# shellcheck disable=SC2034  # who sources it uses them
set -eu -o pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
FOLDER=$RUNNER_TEMP/fakevm
PATH=$FOLDER/venv/bin:$PATH

# A text's words, quoted as in a shell, into the array WORDS.
words() {
    WORDS=()
    [ -z "$1" ] || mapfile -d '' WORDS < <(xargs printf '%s\0' <<<"$1")
}
