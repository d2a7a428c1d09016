#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tunes the specs whose winners tuned/winners.txt ships, on this machine, into a store of its own.
# May be stopped, killed and started again: specs that are finished are left out, the one under way
# goes on after its last finished regime, one that fails is named and tried again by the next run.
#   tuned/ship.sh STORE [--effort quick|normal|thorough] [--seconds N] [--hidden "H…"]
#   tuned/ship.sh STORE --export >tuned/winners.txt
# --seconds: begins no spec after so many. What was measured is kept as JSON lines in STORE.jsonl
# (bench/first.sh reads them). --export: what winners.txt needs of them: no limits, and `cached` only
# beside an `any` that streams. A store belongs to one toolchain (`normgen --version`): winners of
# different revisions of the emitted code were measured against different rivals.
set -euo pipefail
cd "$(dirname "$0")/.."
store=${1:?usage: tuned/ship.sh STORE [--effort E] [--seconds N] [--hidden "H…"]}
shift
toolchain=$(build/normgen --version | sed -n 's/^toolchain: //p')
machine=$(build/normgen cpu | sed -n 's/^machine  *//p')
if [ -e "$store.toolchain" ] && [ "$(cat "$store.toolchain")" != "$toolchain" ]; then
    echo "ship.sh: $store was made with $(cat "$store.toolchain"), this build is $toolchain:" \
        "begin another store" >&2
    exit 1
fi
if [ "${1:-}" = --export ]; then
    mixed=$(build/normgen db export --winners --db "$store" | grep -F "machine=\"$machine\"" |
        grep -vcF "toolchain=\"$toolchain\"" || true)
    if [ "$mixed" -gt 0 ]; then
        echo "ship.sh: $mixed units of this machine in $store are not of $toolchain" >&2
        exit 1
    fi
    build/normgen db export --winners --db "$store" |
        sed 's/ job="[^"]*"//; s/ ns=\([0-9]*\.[0-9][0-9]\)[0-9]*/ ns=\1/' | awk '
        /^unit/ { split("spec=\"[^\"]*\"|machine=\"[^\"]*\"|toolchain=\"[^\"]*\"|session=[^ ]*", form, "|")
                  for (i in form) if (match($0, " " form[i])) {
                      value = substr($0, RSTART, RLENGTH)
                      if (value == above[i]) $0 = substr($0, 1, RSTART - 1) substr($0, RSTART + RLENGTH)
                      above[i] = value } }
        /^winner slot=limit/ || /^state/ { next }
        /^winner slot=any/ { any = $0; sub(/.*schedule=/, "", any); sub(/ ns=.*/, "", any) }
        /^winner slot=cached/ { own = $0; sub(/.*schedule=/, "", own); sub(/ ns=.*/, "", own)
                                if (own == any) next }
        { print }'
    exit
fi
effort=normal
seconds=1000000
hiddens='64 128 256 512 768 1024 1536 2048 3584 4096 5120 8192 16384'
while [ $# -gt 0 ]; do
    case $1 in
    --effort) effort=$2 ;;
    --seconds) seconds=$2 ;;
    --hidden) hiddens=$2 ;;
    *) echo "ship.sh: unknown option $1" >&2 && exit 2 ;;
    esac
    shift 2
done

# What most models need: plain RMSNorm, LayerNorm with bias, the same in bf16, with the residual added.
families=(
    'rms hidden=H eps=1e-05 x=f32'
    'rms hidden=H eps=1e-05 x=bf16 rounding=llama'
    'layer hidden=H eps=1e-05 x=f32 bias=f32'
    'rms hidden=H eps=1e-05 x=bf16 residual=bf16 sum=bf16 rounding=llama'
)

touch "$store.done"
echo "$toolchain" >"$store.toolchain"
left=0 failed=0
for hidden in $hiddens; do
    for family in "${families[@]}"; do
        spec=${family/hidden=H/hidden=$hidden}
        grep -qxF "$spec" "$store.done" && continue
        if [ $SECONDS -ge "$seconds" ]; then
            left=$((left + 1))
            continue
        fi
        if build/normgen tune "$spec" --db "$store" --effort "$effort" --json >"$store.part"; then
            echo "$spec" >>"$store.done"
            echo "ship.sh: $SECONDS s: $spec" >&2
        else
            failed=$((failed + 1))
            echo "ship.sh: failed, the next run tries again: $spec" >&2
        fi
        cat "$store.part" >>"$store.jsonl" # results of a spec that was interrupted are kept, too
        rm "$store.part"
    done
done
echo "ship.sh: $(wc -l <"$store.done") specs in $store, $left left, $failed failed; $SECONDS s" >&2
[ "$failed" -eq 0 ]
