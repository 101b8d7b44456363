#!/bin/sh
# Make sure of Docker Engine and Compose v2 on Debian or Ubuntu.
#
# What is missing is installed from the distribution and started; what is there is left alone.
set -eu

COMPOSE_RELEASE=trixie # the first Debian release whose docker-compose is version 2
PLUGINS=/usr/local/lib/docker/cli-plugins
LOG=/var/log/dockerd.log
DEADLINE=60 # seconds for the engine to answer

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "root is needed for: $* (and there is no sudo)"
    fi
}

engine_answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
engine_answers_root() { as_root timeout 10 docker version >/dev/null 2>&1; }
compose_answers() { timeout 10 docker compose version >/dev/null 2>&1; }
engine_installed() { command -v dockerd >/dev/null || [ -x /usr/sbin/dockerd ]; }

candidate() { apt-cache policy "$1" | awk '$1 == "Candidate:" && $2 != "(none)" {print $2}'; }

apt_updated=
apt_update() {
    [ -n "$apt_updated" ] || as_root apt-get update -qq
    apt_updated=yes
}

apt_install() {
    say "installing $*"
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

install_engine() {
    command -v apt-get >/dev/null ||
        fail "Docker Engine is missing and this is neither Debian nor Ubuntu: install it, then try again"
    apt_update
    set -- docker.io iptables
    [ "$(id -u)" -eq 0 ] || set -- "$@" acl
    # Split off from docker.io in Debian 13.
    command -v docker >/dev/null || [ -z "$(candidate docker-cli)" ] || set -- "$@" docker-cli
    # dockerd refuses to start a container where the kernel has AppArmor and the parser is missing.
    [ ! -e /sys/module/apparmor ] || set -- "$@" apparmor
    apt_install "$@"
    if [ "$(id -u)" -ne 0 ]; then
        say "adding $(id -un) to the group docker, whose members may use the engine"
        as_root usermod -aG docker "$(id -un)"
        new_member=yes
    fi
}

remove_stale_pid_file() {
    pid=$(as_root cat /var/run/docker.pid 2>/dev/null) || return 0
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || as_root rm -f /var/run/docker.pid
}

start_engine() {
    if [ -d /run/systemd/system ]; then
        say "starting Docker Engine"
        as_root systemctl start docker
    else
        say "starting Docker Engine (no init system here: plain dockerd, log in $LOG)"
        remove_stale_pid_file
        # shellcheck disable=SC2016  # the inner shell expands it
        as_root sh -c 'PATH=$PATH:/usr/sbin:/sbin setsid dockerd >>"$1" 2>&1 </dev/null &' sh "$LOG"
    fi
    deadline=$(($(date +%s) + DEADLINE))
    until engine_answers_root; do
        if [ "$(date +%s)" -gt "$deadline" ]; then
            as_root tail -n 20 "$LOG" >&2 || true
            fail "Docker Engine did not answer within $DEADLINE s"
        fi
        sleep 1
    done
}

# The archive of this Debian system, as its own apt sources name it.
debian_mirror() {
    # shellcheck disable=SC2016  # the fields are apt's
    apt-get indextargets --format '$(REPO_URI)' "Created-By: Packages" "Origin: Debian" \
        "Codename: $1" "Component: main" | sort -u | head -n 1
}

# Take the plugin alone out of a newer release's package, verified by Debian's keyring; the
# system's own apt sources stay as they are.
install_compose_of_newer_debian() (
    mirror=$(debian_mirror "$1")
    [ -n "$mirror" ] || fail "found no Debian mirror in the system's apt sources"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    chmod 755 "$work"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $COMPOSE_RELEASE main" \
        >"$work/sources.list"
    private_apt() {
        apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts="$work/parts" \
            -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User= "$@"
    }
    private_apt update
    cd "$work"
    private_apt download docker-compose
    as_root mkdir -p "$PLUGINS"
    dpkg-deb --fsys-tarfile docker-compose_*.deb |
        tar -xO ./usr/libexec/docker/cli-plugins/docker-compose >"$work/docker-compose"
    as_root install -m 755 "$work/docker-compose" "$PLUGINS/docker-compose"
)

install_compose() {
    command -v apt-get >/dev/null || fail "Compose v2 is missing: install it, then try again"
    apt_update
    # shellcheck source=/dev/null
    . /etc/os-release
    if [ -n "$(candidate docker-compose-v2)" ]; then # Ubuntu
        apt_install docker-compose-v2
    elif candidate docker-compose | grep -q '^[2-9]'; then # Debian 13 and later
        apt_install docker-compose
    elif [ "$ID" = debian ]; then
        say "taking Compose v2 from Debian $COMPOSE_RELEASE into $PLUGINS"
        install_compose_of_newer_debian "$VERSION_CODENAME"
    else
        fail "this release has no package of Compose v2: install it, then try again"
    fi
}

if ! engine_answers; then
    # An engine elsewhere is not ours to mend.
    [ -z "${DOCKER_HOST-}" ] || fail "no Docker Engine answers at DOCKER_HOST=$DOCKER_HOST"
    if ! engine_installed; then
        install_engine
    elif engine_answers_root; then
        fail "Docker Engine answers root but not $(id -un): sudo usermod -aG docker $(id -un), then log in again"
    fi
    engine_answers_root || start_engine
    # Membership counts from the next login on; this lasts until the engine's next start.
    [ -z "${new_member-}" ] || as_root setfacl -m "u:$(id -un):rw" /var/run/docker.sock
fi
if ! compose_answers; then
    install_compose
    compose_answers || fail "docker compose does not answer after its installation"
fi
