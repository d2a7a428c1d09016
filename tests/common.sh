# SPDX-License-Identifier: Apache-2.0
# For script tests: `. "$NORMGEN_SOURCE/tests/common.sh"`. NORMGEN_SOURCE and NORMGEN_BUILD are set by
# ctest; by hand they default to this checkout and its build folder.
: "${NORMGEN_SOURCE:=$(cd "$(dirname "$0")/.." && pwd)}"
: "${NORMGEN_BUILD:=$NORMGEN_SOURCE/build}"
export NORMGEN_SOURCE NORMGEN_BUILD

failures=0
# One broken promise; the script goes on, to show all of them.
fail() {
    printf 'FAILED: %s\n' "$*"
    failures=$((failures + 1))
}

# Ends a script: with an error when anything failed.
finish() {
    [ "$failures" -eq 0 ] || exit 1
    exit 0
}

# not_run WHAT HOW: ends a script that cannot run here; ctest counts it as skipped, CI as failed.
not_run() {
    printf 'not run: %s (%s)\n' "$1" "$2"
    [ "${CI:-}" = true ] && exit 1
    exit 77
}

# A folder of the script's own, removed at its end.
scratch_dir() {
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
}
