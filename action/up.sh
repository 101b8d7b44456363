#!/usr/bin/env bash
# Start the lab, and tell the steps after it how to reach it.
# shellcheck source=action/common.sh
. "$(dirname "$0")/common.sh"

words "$ARGS"
# What the job does not say a lab file may.
chosen=(${COMPUTES:+--computes "$COMPUTES"} ${BACKEND:+--backend "$BACKEND"})
fakevm up --name "$LAB" "${chosen[@]}" ${NEUTRON:+--neutron "$NEUTRON"} "${WORDS[@]}" || {
    code=$?
    echo "::group::Would it work on this machine?"
    fakevm doctor "${chosen[@]}" || true
    echo "::endgroup::"
    exit "$code"
}
clouds=$FOLDER/$LAB.yaml
fakevm --lab "$LAB" clouds-yaml >"$clouds"
cloud=fakevm-$LAB
{
    echo "FAKEVM_LAB=$LAB"
    echo "OS_CLIENT_CONFIG_FILE=$clouds"
    echo "OS_CLOUD=$cloud"
} >>"$GITHUB_ENV"
{
    echo "cloud=$cloud"
    echo "clouds-yaml=$clouds"
} >>"$GITHUB_OUTPUT"
