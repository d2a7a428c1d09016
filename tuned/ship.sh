#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tunes the specs whose winners tuned/winners.txt ships, on this machine, into a store of its own.
# May be stopped and started again: specs that are finished are left out.
#   tuned/ship.sh STORE [--effort quick|normal|thorough] [--seconds N] [--hidden "H…"]
#   tuned/ship.sh STORE --export >tuned/winners.txt
# --seconds: begins no spec after so many. What was measured is kept as JSON lines in STORE.jsonl
# (bench/first.sh reads them). --export: what
# winners.txt needs of them: no limits, and `cached` only beside an `any` that streams.
set -euo pipefail
cd "$(dirname "$0")/.."
store=${1:?usage: tuned/ship.sh STORE [--effort E] [--seconds N] [--hidden "H…"]}
shift
if [ "${1:-}" = --export ]; then
    build/normgen db export --winners --db "$store" | sed 's/ job="[^"]*"//' | awk '
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
left=0
for hidden in $hiddens; do
    for family in "${families[@]}"; do
        spec=${family/hidden=H/hidden=$hidden}
        grep -qxF "$spec" "$store.done" && continue
        if [ $SECONDS -ge "$seconds" ]; then
            left=$((left + 1))
            continue
        fi
        build/normgen tune "$spec" --db "$store" --effort "$effort" --json >"$store.part"
        cat "$store.part" >>"$store.jsonl"
        rm "$store.part"
        echo "$spec" >>"$store.done"
    done
done
echo "ship.sh: $(wc -l <"$store.done") specs in $store, $left left; $SECONDS s" >&2
