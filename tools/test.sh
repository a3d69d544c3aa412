#!/usr/bin/env bash
# Installs whatever the tests need and runs them all.
#
# usage: tools/test.sh [--long]
#
#   --long   also the tests that need minutes (tests/long), more of tools/sharing.sh, five thousand simulated swarms, the lines
#            that are broken on purpose (tests/README.md), the fuzz targets (tools/fuzz.sh, ten minutes each), and the check
#            of licences and sources of all dependencies
#
# For Debian 12, as root or with sudo, with a Rust toolchain. Other systems: install the programs listed under `packages`
# by hand; a client that is missing is skipped with a line `skip: NAME: reason`, which is a failure where CI=true.
# What is installed already is not touched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# command=package: the package is installed when the command is missing.
packages=(
    cc=build-essential
    git=git
    python3=python3
    prlimit=util-linux
    transmission-cli=transmission-cli
    aria2c=aria2
    mktorrent=mktorrent
)
# Kept beside the build so that nothing outside of the checkout changes.
venv=${CARGO_TARGET_DIR:-target}/venv
libtorrent=2.1.1

long=no
for argument in "$@"; do
    case $argument in
        --long) long=yes ;;
        *)
            sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
            exit 2
            ;;
    esac
done

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

install_packages() {
    command -v apt-get >/dev/null || return 0
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

install_missing() {
    local missing=()
    for entry in "${packages[@]}"; do
        command -v "${entry%%=*}" >/dev/null || missing+=("${entry#*=}")
    done
    # Debian keeps this part of Python in a package without a command.
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    if [ ${#missing[@]} -gt 0 ]; then
        echo "installing ${missing[*]}"
        install_packages "${missing[@]}"
    fi
    if ! "$venv/bin/python" -c "import libtorrent; assert libtorrent.version.startswith('$libtorrent')" 2>/dev/null; then
        echo "installing libtorrent $libtorrent in $venv"
        python3 -m venv --clear "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "libtorrent==$libtorrent"
    fi
}

# A test that needs what could not be installed says so by itself, and decides whether that is a failure.
install_missing || echo "not everything could be installed" >&2

if [ $long = yes ]; then
    command -v cargo-deny >/dev/null || cargo install --quiet --locked cargo-deny
    cargo deny check bans licenses sources
fi
cargo test --workspace --no-fail-fast
if [ $long = yes ]; then
    tools/sharing.sh --long
    # One at a time: what is measured is shared.
    cargo test --release --package shoal-tests --features long --test long -- --test-threads=1
    cargo run --release --package shoal-tests -- swarm --seeds 0..5000
    cargo run --release --package shoal-tests -- crowd
    cargo run --package shoal-tests -- mutations
    tools/fuzz.sh
else
    tools/sharing.sh
fi
