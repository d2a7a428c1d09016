#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Mode tune with the real tuner: a host that waits sees its kernel replaced; one that is killed takes
# the tuner and its workers along, and the tuner holds none of the host's descriptors open.
. "$(dirname "$0")/common.sh"
scratch_dir
export NORMGEN_DB="$scratch/tuned.db" NORMGEN_MODE=tune NORMGEN_CLI="$scratch/normgen"
printf '#!/bin/sh\nexec "%s/normgen" "$1" --effort quick --rows 4 "$2" "$3" "$4" "$5" "$6" "$7" "$8" "$9"\n' \
    "$NORMGEN_BUILD" >"$NORMGEN_CLI"
chmod +x "$NORMGEN_CLI"
host=$NORMGEN_BUILD/test_waiting_host

# It ends by itself when its kernel was replaced.
timeout 60 "$host" 'rms hidden=64 eps=1e-05 x=f32' >"$scratch/out" 2>&1 || fail "the host: $(cat "$scratch/out")"
grep -q 'renewed' "$scratch/out" || fail "no kernel was replaced: $(cat "$scratch/out")"

# Killed in the middle; a pipe of the host must not be kept open by what it started.
mkfifo "$scratch/pipe"
sed -i 's/--rows 4/--rows 100000/' "$NORMGEN_CLI"
"$host" 'rms hidden=4096 eps=1e-05 x=f32' >"$scratch/out" 2>&1 3>/dev/null 7>"$scratch/pipe" &
pid=$!
exec 8<"$scratch/pipe"
tuner=
for i in $(seq 200); do
    tuner=$(sed -n 's/.*tuning in the background.*(process \([0-9]*\)).*/\1/p' "$scratch/out")
    [ -n "$tuner" ] && [ -n "$(cat "/proc/$tuner/task/$tuner/children" 2>/dev/null)" ] && break
    sleep 0.05
done
[ -n "$tuner" ] || fail "no tuner: $(cat "$scratch/out")"
[ "$(ps -o ni= -p "$tuner" | tr -d ' ')" = 19 ] || fail 'the tuner has not the lowest priority'
ls -l "/proc/$tuner/fd" | grep -q "$scratch/pipe" && fail 'the tuner holds a descriptor of the host'
workers=$(cat "/proc/$tuner/task/$tuner/children")
[ -n "$workers" ] || fail 'the tuner has no workers'
kill -9 $pid
for i in $(seq 200); do
    alive=
    for p in $tuner $workers; do
        [ -d "/proc/$p" ] && ! grep -q '^State:.*Z' "/proc/$p/status" 2>/dev/null && alive="$alive $p"
    done
    [ -z "$alive" ] && break
    sleep 0.05
done
[ -z "$alive" ] || fail "still there after their host was killed:$alive"
finish
