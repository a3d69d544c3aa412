#!/usr/bin/env bash
# Checks what the engine shares with other threads and with the kernel, which a test that passes does not prove: loom
# runs the models of engine/uring in every order of steps, Miri and AddressSanitizer run the tests in which a thread
# plays the kernel's side of the memory.
#
# usage: tools/sharing.sh [--long]
#
#   --long   more seeds under Miri, among them of its scheduler, and thousands of seeds under AddressSanitizer
#
# Each has a directory of its own beside the build, because its flags rebuild everything. Miri and AddressSanitizer need
# the nightly toolchain, which is installed when it is missing; without a way to get it they are skipped with a line
# `skip: NAME: reason`, which is a failure where CI=true.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

long=no
[ "${1:-}" != --long ] || long=yes
place=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")/sharing
mkdir -p "$place"

# check NAME DIRECTORY COMMAND...: quiet unless it fails, since Miri says much that is no error.
check() {
    local name=$1 log=$place/$1.log
    export CARGO_TARGET_DIR=$place/$2
    if "${@:3}" >"$log" 2>&1; then
        echo "$name: $(grep '^test result' "$log" | tail -n 1)"
    else
        echo "$name: found something, all of it in $log:" >&2
        tail -n 60 "$log" >&2
        return 1
    fi
}

nightly_has_miri() {
    cargo +nightly miri --version >/dev/null 2>&1 && return 0
    # To the nightly that is here; a whole one only where there is none.
    rustup component add --toolchain nightly miri rust-src >/dev/null 2>&1 && return 0
    rustup toolchain install nightly --profile minimal --component miri --component rust-src >/dev/null 2>&1
}

tests=(--package shoal-uring --lib)
RUSTFLAGS="--cfg loom" check loom loom cargo test "${tests[@]}" models

if ! nightly_has_miri; then
    echo "skip: miri: there is no nightly toolchain with it, and none could be installed"
    echo "skip: asan: there is no nightly toolchain, and none could be installed"
    [ "${CI:-}" != true ]
    exit
fi

# Temporary files are real ones; addresses go to the played kernel as numbers, as they do to the real one.
miri="-Zmiri-disable-isolation -Zmiri-permissive-provenance"
MIRIFLAGS=$miri check miri miri cargo +nightly miri test "${tests[@]}" -- played received::tests mailbox doorbell

target=$(rustc +nightly --print host-tuple)
RUSTFLAGS=-Zsanitizer=address check asan asan cargo +nightly test "${tests[@]}" --target "$target"

if [ $long = yes ]; then
    MIRIFLAGS="$miri -Zmiri-many-seeds=0..16" check miri-schedules miri \
        cargo +nightly miri test "${tests[@]}" -- received::tests mailbox doorbell pool::tests::a_submitter
    MIRIFLAGS="$miri -Zmiri-many-seeds=0..8" check miri-played miri cargo +nightly miri test "${tests[@]}" -- played
    PLAYED_SEEDS=16 MIRIFLAGS=$miri check miri-seeds miri cargo +nightly miri test "${tests[@]}" -- played
    PLAYED_SEEDS=5000 RUSTFLAGS=-Zsanitizer=address check asan-seeds asan \
        cargo +nightly test "${tests[@]}" --target "$target" -- played
fi
