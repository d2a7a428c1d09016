#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# How good is the first schedule of a spec that nobody tuned? Share of the tuned one's speed for each
# (spec, regime) that tuned/ship.sh measured, both in paired turns of the same final, and medians.
#   bench/first.sh STORE     with STORE.jsonl from tuned/ship.sh
set -euo pipefail
store=${1:?usage: bench/first.sh STORE, after tuned/ship.sh STORE}
sed 's/": /":/g' "$store.jsonl" | awk '
function number(line, object, field,    at, rest) {
    at = index(line, "\"" object "\":{")
    if (!at) return 0
    rest = substr(line, at)
    rest = substr(rest, 1, index(rest, "}"))
    at = index(rest, "\"" field "\":")
    return at ? substr(rest, at + length(field) + 3) + 0 : 0
}
function text(line, object, field,    at, rest) {
    at = object == "" ? 1 : index(line, "\"" object "\":{")
    rest = substr(line, at)
    at = index(rest, "\"" field "\":\"")
    rest = substr(rest, at + length(field) + 4)
    return substr(rest, 1, index(rest, "\"") - 1)
}
function median(list, n,    i, j, t) {
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}
/"event":"result"/ {
    best = number($0, "winner", "ns_per_row")
    first = number($0, "default", "ns_per_row")
    if (!best || !first) next
    share = best / first
    spec = text($0, "", "spec"); regime = text($0, "", "regime")
    printf "%5.2f  %-4s  %s\n       tuned: %s\n       first: %s\n", share, regime, spec,
        text($0, "winner", "schedule"), text($0, "default", "schedule")
    all[++n] = share
    of[regime, ++count[regime]] = share
    low += share < 0.85
}
END {
    for (regime in count) {
        for (i = 1; i <= count[regime]; i++) one[i] = of[regime, i]
        printf "%-4s  median %.2f of %d\n", regime, median(one, count[regime]), count[regime]
    }
    if (n) printf "all   median %.2f of %d; below 0.85: %d\n", median(all, n), n, low
}'
