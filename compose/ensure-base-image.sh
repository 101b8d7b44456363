#!/bin/sh
# Make sure of the images' base, debian:trixie-slim: pulled, or made here where no registry answers.
set -eu

IMAGE=debian:trixie-slim
RELEASE=trixie
PULL_TIMEOUT=300

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# For who has no terminal sudo asks nobody.
if [ "$(id -u)" -eq 0 ]; then as_root() { "$@"; }
elif [ -t 0 ]; then as_root() { sudo "$@"; }
else as_root() { sudo -n "$@" || { say "as root it needs: $*; call $0 in a terminal"; return 1; }; }
fi

# On Debian the archive that the system itself uses; elsewhere empty, which is debootstrap's default.
debian_mirror() {
    # shellcheck disable=SC2016  # the fields are apt's
    apt-get indextargets --format '$(REPO_URI)' "Created-By: Packages" "Origin: Debian" \
        "Component: main" | grep -v -- -security | sort -u | head -n 1
}

make_image() {
    if ! command -v debootstrap >/dev/null || [ ! -e /usr/share/keyrings/debian-archive-keyring.gpg ]; then
        say "installing debootstrap"
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            debian-archive-keyring debootstrap >/dev/null
    fi
    root=$(mktemp -d)
    trap 'as_root rm -rf "$root"' EXIT
    # shellcheck disable=SC2046  # no mirror means no argument
    as_root debootstrap --variant=minbase \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        "$RELEASE" "$root" $(debian_mirror) >"$root.log" 2>&1 || {
        tail -n 20 "$root.log" >&2
        say "debootstrap failed; its log is $root.log"
        exit 1
    }
    rm -f "$root.log"
    # As in Debian's slim images: no documentation, no translations, also of what is installed later;
    # no package archives kept; no service started by a package.
    as_root sh -eu -s "$root" <<'SLIM'
cd "$1"
cat >etc/dpkg/dpkg.cfg.d/docker <<'END'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/groff/*
path-exclude /usr/share/info/*
path-exclude /usr/share/lintian/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
END
cat >etc/apt/apt.conf.d/docker <<'END'
Acquire::Languages "none";
APT::Install-Recommends "false";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
END
printf '#!/bin/sh\nexit 101\n' >usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d
find usr/share/doc -type f ! -name copyright -delete
find usr/share/doc -type l -delete
find usr/share/doc -depth -type d -empty -delete
rm -rf usr/share/groff/* usr/share/info/* usr/share/lintian/* usr/share/locale/* usr/share/man/*
rm -rf var/cache/apt/* var/lib/apt/lists/* var/cache/debconf/*-old var/log/*.log
SLIM
    as_root tar -C "$root" -c . | docker import --change 'CMD ["bash"]' - "$IMAGE" >/dev/null
}

docker image inspect "$IMAGE" >/dev/null 2>&1 && exit 0
say "pulling $IMAGE"
timeout "$PULL_TIMEOUT" docker pull -q "$IMAGE" >/dev/null 2>&1 && exit 0
say "no registry answers: making $IMAGE with debootstrap"
make_image
