#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Does the tuner find what there is to find, and twice the same? Five specs in their regimes, 20
# places: normal effort twice (the second run starts from the winners of the first, with other
# random choices), then thorough. A winner that another effort replaces is set beside the one that
# it replaced in that session's own trials. May be stopped and started again.
#   bench/quality.sh DIR [--seconds N] [--specs N]
# --seconds: begins no run after so many.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${1:?usage: bench/quality.sh DIR [--seconds N] [--specs N]}
shift
seconds=1000000 count=5
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=$2 ;;
    --specs) count=$2 ;;
    *) echo "quality.sh: unknown option $1" >&2 && exit 2 ;;
    esac
    shift 2
done
mkdir -p "$dir"
specs=(
    'rms hidden=1024 eps=1e-05'
    'rms hidden=768 eps=1e-05 x=bf16 rounding=llama'
    'layer hidden=768 eps=1e-05 bias=f32'
    'rms hidden=2048 eps=1e-05 x=bf16 residual=bf16 sum=bf16 rounding=llama'
    'rms hidden=128 eps=1e-06 x=bf16'
)

# tune NUMBER RUN EFFORT SEED: once, into DIR/NUMBER.db; its results in DIR/NUMBER.RUN
tune() {
    [ -e "$dir/$1.$2" ] && return
    [ $SECONDS -lt "$seconds" ] || return 0
    build/normgen tune "${specs[$1]}" --db "$dir/$1.db" --effort "$3" --seed "$4" --json >"$dir/part"
    mv "$dir/part" "$dir/$1.$2"
    build/normgen explain "${specs[$1]}" --db "$dir/$1.db" --trials 100000 --json >"$dir/$1.$2.trials"
}
for ((i = 0; i < count; i++)); do
    tune $i 1 normal 1
    tune $i 2 normal 2
    tune $i 3 thorough 3
done

python3 - "$dir" "$count" <<'END'
import json, os, sys
folder, count = sys.argv[1], int(sys.argv[2])
names = {2: "normal again", 3: "thorough"}
places = bad = 0
for i in range(count):
    results = {}
    for run in (1, 2, 3):
        path = f"{folder}/{i}.{run}"
        if not os.path.exists(path):
            continue
        results[run] = {}
        for line in open(path):
            e = json.loads(line)
            if e["event"] == "result":
                results[run][e["regime"]] = e
        results[run, "trials"] = {}
        for line in open(path + ".trials"):
            e = json.loads(line)
            results[run, "trials"][e["regime"]] = {
                t["schedule"]: t.get("ns_per_row", 0) for t in e["trials"]}
    for run in (2, 3):
        for regime, e in results.get(run, {}).items():
            if regime not in results.get(run - 1, {}):
                continue
            before = results[run - 1][regime]["winner"]["schedule"]
            now = e["winner"]["schedule"]
            floor = max(e["noise"], results[run - 1][regime]["noise"])
            allowed = floor if run == 2 else max(0.03, 2 * floor)
            trials = results[run, "trials"].get(regime, {})
            gain = 0
            if now != before and trials.get(before) and trials.get(now):
                gain = trials[before] / trials[now] - 1
            places += 1
            bad += gain > allowed
            print(f"{names[run]:13s} {regime:5s} {'same' if now == before else f'{100 * gain:+.1f} %':>8s}"
                  f" (allowed {100 * allowed:.1f} %)  {e['spec']}" + ("" if gain <= allowed else
                  f"\n    was {before}\n    is  {now}"))
print(f"{places} comparisons, {bad} beyond what is allowed")
sys.exit(bad > 0)
END
