#!/usr/bin/env bash
# Runs the fuzz targets, as many at a time as there are CPUs, and fails if one of them finds something.
#
# usage: tools/fuzz.sh [SECONDS [TARGET...]]
#
# SECONDS for each target, 600 if not given; all targets if none is named. What is missing of the nightly toolchain and
# cargo-fuzz is installed. Inputs that reach new code are kept in the target directory, beside the build, and are where
# the next run begins; findings and the end of every target's output stand there as well.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-600}
targets=("${@:2}")
if [ ${#targets[@]} -eq 0 ]; then
    mapfile -t targets < <(basename --suffix .rs tests/fuzz/targets/*.rs)
fi
place=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")/fuzz

cargo +nightly --version >/dev/null 2>&1 || rustup toolchain install nightly --profile minimal
command -v cargo-fuzz >/dev/null || cargo install --quiet --locked cargo-fuzz
mkdir -p "$place"
for target in "${targets[@]}"; do
    cargo +nightly fuzz build --fuzz-dir tests/fuzz --target-dir "$place/build" "$target"
done

fuzz() {
    local target=$1
    mkdir -p "$place/corpus/$target" "$place/findings"
    # Inputs that take ten seconds are findings like those that crash.
    if cargo +nightly fuzz run --fuzz-dir tests/fuzz --target-dir "$place/build" "$target" \
        "$place/corpus/$target" "tests/fuzz/corpus/$target" -- -max_total_time="$seconds" -timeout=10 \
        -artifact_prefix="$place/findings/$target-" >"$place/$target.log" 2>&1; then
        echo "fuzz: $target: $(tail -n 1 "$place/$target.log"), nothing found"
    else
        echo "fuzz: $target: found something, all of it in $place/$target.log:" >&2
        tail -n 30 "$place/$target.log" >&2
        return 1
    fi
}
export -f fuzz
export place seconds
printf '%s\n' "${targets[@]}" | xargs --max-procs="$(nproc)" --replace bash -euo pipefail -c 'fuzz {}'
