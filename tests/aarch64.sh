#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The bytes of aarch64 are those of x86-64: kernels for NEON and the interpreter, cross-compiled into
# one static program, give the digests of golden.txt under qemu. Uses the build's emit_kernels.
. "$(dirname "$0")/common.sh"
gcc=aarch64-linux-gnu-gcc qemu=
command -v $gcc >/dev/null ||
    not_run 'the digests of aarch64' 'apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross'
for name in qemu-aarch64 qemu-aarch64-static; do
    [ -n "$qemu" ] || qemu=$(command -v $name)
done
[ "$(uname -m)" = aarch64 ] && qemu=env
[ -n "$qemu" ] || not_run 'the digests of aarch64' 'apt-get install qemu-user'
scratch_dir

tests=$NORMGEN_SOURCE/tests runtime=$NORMGEN_SOURCE/runtime
"$NORMGEN_BUILD/emit_kernels" aarch64 "$tests/golden.txt" "$scratch" || exit 1
for object in "$scratch"/kernel*.o; do
    name=$(basename "$object" .o)
    aarch64-linux-gnu-objcopy --redefine-sym normgen_kernel="$name" "$object" || exit 1
done
# shellcheck disable=SC2086 # the list of sources is split on purpose
sources="digest.c golden.c fixture.c awkward.c"
core="spec.c rules.c decimal.c error.c program.c derive.c ops.c functions.c quantize.c types.c interp.c"
(cd "$tests" && $gcc -std=c17 -D_GNU_SOURCE -O2 -ffp-contract=off -fno-math-errno -static \
    -I "$NORMGEN_SOURCE/include" -I "$runtime" -I "$tests" -I "$scratch" \
    $sources $(for file in $core; do echo "$runtime/$file"; done) "$scratch/table.c" \
    "$scratch"/kernel*.o -lm -lpthread -o "$scratch/digest") || exit 1
$qemu "$scratch/digest" "$tests/golden.txt" || fail 'aarch64 gives other bytes'
finish
