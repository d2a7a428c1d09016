#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The manual pages are well-formed and name every verb, option and spec field that --help names: read
# from the rendered pages, not from the tables that wrote them.
. "$(dirname "$0")/common.sh"
command -v mandoc >/dev/null || not_run 'the manual pages' 'apt-get install mandoc'
scratch_dir
cd "$scratch" || exit 1
normgen=$NORMGEN_BUILD/normgen

for page in normgen.1 normgen-spec.5; do
    [ -e "$NORMGEN_BUILD/$page" ] || fail "$page was not built"
    mandoc -Tlint -Wwarning "$NORMGEN_BUILD/$page" >lint 2>&1 || fail "$page: $(cat lint)"
    mandoc -Tutf8 -Owidth=400 "$NORMGEN_BUILD/$page" | sed 's/.\x08//g' >"$page.txt"
    grep -q '@[a-z]*@' "$page.txt" && fail "$page: a table is missing"
done

"$normgen" --help | sed -n '/^verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p' >verbs
[ "$(wc -l <verbs)" -ge 10 ] || fail "--help names only $(xargs <verbs)"
while read -r verb; do
    grep -qE "^ +$verb +[A-Za-z]" normgen.1.txt || fail "normgen.1 has no verb $verb"
    [ "$verb" = help ] && continue
    "$normgen" "$verb" --help >help
    sed -n '/^options:/,/^fields/s/^  \(-[a-z], \)\{0,1\}--\([a-z0-9_-]*\).*/\2/p' help >options
    sed -n "/^ *normgen $verb\$/,/^ *normgen [a-z]*\$/p" normgen.1.txt >section
    # the section ends where the next verb's begins; the last one goes on to the next heading
    while read -r option; do
        [ "$option" = help ] || grep -qE -- "(^| |, )--$option( |\$)" section ||
            fail "normgen.1: $verb has no --$option"
    done <options
done <verbs

"$normgen" tune --help | sed -n '/^fields/,$s/^  --\([a-z_0-9]*\) .*/\1/p' >fields
[ "$(wc -l <fields)" -ge 18 ] || fail "tune --help has only the fields $(xargs <fields)"
while read -r field; do
    grep -qE "^ +$field( |\$)" normgen-spec.5.txt || fail "normgen-spec.5 has no field $field"
done <fields
for type in f32 bf16; do grep -q "Values: .*$type" normgen-spec.5.txt || fail "no type $type"; done
finish
