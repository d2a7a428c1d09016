#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh SECONDS: builds the fuzz preset's programs and runs each for that long.
. "$(dirname "$0")/common.sh"
command -v clang-19 >/dev/null || not_run 'the fuzz programs' 'apt-get install clang-19 libclang-rt-19-dev'

dir=$NORMGEN_BUILD/fuzz
cmake -S "$NORMGEN_SOURCE" --preset fuzz -B "$dir" && cmake --build "$dir" || exit 1
for program in "$dir"/fuzz_*; do
    [ -x "$program" ] || continue
    mkdir -p "$program-corpus" # kept: the next run goes on from here
    "$program" -max_total_time="$1" -max_len=600 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix="$program-" "$program-corpus" || fail "$program"
done
finish
