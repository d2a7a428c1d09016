#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The run-time library's sources compile against musl: all but the one that needs SQLite, of which
# Debian has no build for musl.
. "$(dirname "$0")/common.sh"
command -v musl-gcc >/dev/null || not_run 'compiling against musl' 'apt-get install musl-tools'
cd "$NORMGEN_SOURCE" || exit 1
scratch_dir
for file in runtime/*.c; do
    case $file in
    */sql.c | */team_openmp.c) continue ;;
    esac
    musl-gcc -std=c17 -D_GNU_SOURCE -DNORMGEN_BUILD -DNG_INTERP=ng_interp_baseline -Wall -Werror \
        -Iinclude -Iruntime -I"$NORMGEN_BUILD/generated" -fsyntax-only "$file" >"$scratch/out" 2>&1 ||
        fail "$file: $(cat "$scratch/out")"
done
finish
