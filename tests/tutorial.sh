#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# docs/tutorial.md, typed in: its ```sh blocks run in order in one shell in an empty folder. A ```text
# block is exactly what the block before it prints (or all it prints after the lines of an ```example
# block between them); what a machine decides stands in ```example blocks, which are not compared.
. "$(dirname "$0")/common.sh"
scratch_dir
tutorial=$NORMGEN_SOURCE/docs/tutorial.md
XDG_DATA_HOME=$scratch/data
PATH=$NORMGEN_BUILD:$PATH
export XDG_DATA_HOME PATH
unset NORMGEN_DB NORMGEN_MODE NORMGEN_STRICT NORMGEN_ISA

# Every block becomes a file: 001.sh, 002.text, …
mkdir "$scratch/blocks" "$scratch/work"
awk -v folder="$scratch/blocks" '
    /^```[a-z]+$/ { kind = substr($0, 4); file = sprintf("%s/%03d.%s", folder, ++n, kind); printf "" >file; next }
    /^```/ { close(file); kind = ""; next }
    kind != "" { print >file }' "$tutorial"

cd "$scratch/work" || exit 1
blocks=0
compared=0
for block in "$scratch"/blocks/*; do
    case $block in
    *.sh)
        blocks=$((blocks + 1))
        sh -eu "$block" >"$scratch/printed" 2>"$scratch/errors" ||
            fail "this block ends with an error:
$(cat "$block")
$(tail -n 20 "$scratch/errors")"
        skipped=0
        ;;
    *.example) skipped=1 ;;
    *.text)
        compared=$((compared + 1))
        lines=$(wc -l <"$block")
        if [ "${skipped:-0}" = 1 ]; then tail -n "$lines" "$scratch/printed" >"$scratch/part"; else
            cp "$scratch/printed" "$scratch/part"; fi
        diff "$block" "$scratch/part" >"$scratch/diff" ||
            fail "the tutorial shows other text than is printed (< tutorial, > printed):
$(cat "$scratch/diff")"
        ;;
    esac
done
[ "$blocks" -ge 12 ] || fail "only $blocks blocks of commands were found in $tutorial"
[ "$compared" -ge 7 ] || fail "only $compared blocks of text were compared"
finish
