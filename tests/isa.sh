#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A bundle's code has the instructions that its levels declare and no others: everything is
# disassembled, and GNU as restricted to the level's features takes it back. Under emulated processors
# without AVX-512, AVX2 or FMA the dispatcher picks what runs, with the same bytes; so does the
# bundle for aarch64, built here and linked with a cross compiler.
. "$(dirname "$0")/common.sh"
[ "$(uname -m)" = x86_64 ] || not_run 'the ISA levels of a bundle' 'on x86-64 only'
command -v objdump >/dev/null || not_run 'the ISA levels of a bundle' 'apt-get install binutils'
scratch_dir
cd "$scratch" || exit 1
tests=$NORMGEN_SOURCE/tests
"$NORMGEN_BUILD/normgen" emit "$tests/bundle_specs.lua" -o bundle \
    --isa x86-64-v3,x86-64-v4,x86-64-v4+bf16,aarch64 >log 2>&1 || fail "$(cat log)"
grep -q 'wide has no entry for x86-64:' log || fail "nothing is said of the f64 spec: $(cat log)"

# ---- instructions ----

v3=+avx2+fma+f16c+bmi+bmi2+lzcnt+movbe+popcnt
v4=$v3+avx512f+avx512bw+avx512cd+avx512dq+avx512vl
# Only the operands of jumps need help: objdump writes addresses without 0x. Padding is left out.
source_of() {
    objdump -d --no-show-raw-insn "$1" | sed -n 's/^ *[0-9a-f]*:\t//p' |
        sed '/nop[wl]/d; s/ *#.*//; s/ *<.*//; s/^\(j[a-z]*\|call\) *\([0-9a-f]*\)$/\1 0x\2/'
}
reassemble() { # reassemble OBJECT MARCH
    source_of "$1" >code.s
    [ -s code.s ] || fail "$1 has no code"
    as -march="$2" -o /dev/null code.s 2>err || fail "$1 is not within $2: $(sed -n 2,4p err)"
}
mkdir objects
(cd objects && ar x ../bundle/lib/x86_64/libnorms.a)
for object in objects/*.o; do
    case $object in
    *.x86-64.*) reassemble "$object" generic64 ;;
    *.x86-64-v3.*) reassemble "$object" generic64$v3 ;;
    *.x86-64-v4.*) reassemble "$object" generic64$v4 ;;
    *.x86-64-v4+bf16.*) reassemble "$object" generic64$v4+avx512_bf16+avx512vbmi
        grep -qE '\<vperm([it]2)?w\>' code.s && fail "$object shuffles words, not their bytes" ;;
    objects/dispatch.o)
        # It asks for XCR0 behind a look at OSXSAVE: the one instruction beyond the baseline.
        reassemble "$object" generic64+xsave
        [ "$(grep -c xgetbv code.s)" = 1 ] || fail 'the dispatcher has not one xgetbv' ;;
    *) fail "no level is known for $object" ;;
    esac
done
[ "$(ls objects | wc -l)" -gt 30 ] || fail "only $(ls objects | wc -l) objects"
# The restriction restricts: AVX-512 code is refused where it is not declared.
source_of "$(ls objects/*.x86-64-v4.*.o | head -n 1)" >code.s
as -march=generic64$v3 -o /dev/null code.s 2>/dev/null && fail 'as takes AVX-512 for x86-64-v3'

# ---- processors ----

cc -O1 -std=c11 -static -o digest "$tests/bundle_digest.c" -Ibundle/include bundle/lib/x86_64/libnorms.a ||
    fail 'bundle_digest.c does not build'
./digest >native 2>level || fail "$(cat native)"
./digest --no-f64 >native32 2>/dev/null
grep -qE '^[0-9a-f]{16}$' native || fail "no digest: $(cat native)"
on() { # on LEVEL MODEL: the level that has to be picked
    option=
    [ "$1" = x86-64 ] && option=--no-f64
    qemu-x86_64 -cpu "$2" ./digest $option >out 2>err
    [ "$(tail -n 1 err)" = "$1" ] || fail "$2: level '$(tail -n 1 err)' instead of $1"
    cmp -s out "native${option:+32}" || fail "$2: $(cat out) instead of $(cat native${option:+32})"
}
if command -v qemu-x86_64 >/dev/null; then
    on x86-64-v3 max
    on x86-64-v3 Haswell
    on x86-64 Haswell,-fma
    on x86-64 Haswell,-avx2
    on x86-64 Haswell,-xsave
    on x86-64 SandyBridge
    on x86-64 Nehalem
    on x86-64 qemu64
    # A spec that needs FMA says so instead of dying.
    qemu-x86_64 -cpu Nehalem ./digest >out 2>/dev/null && fail 'f64 runs on Nehalem'
    [ "$(cat out)" = 'wide: the bundle has nothing for this CPU' ] || fail "f64 on Nehalem: $(cat out)"
else
    not_run 'bundles on other processors' 'apt-get install qemu-user'
fi

# ---- aarch64 ----

gcc=aarch64-linux-gnu-gcc
command -v $gcc >/dev/null ||
    not_run 'the bundle for aarch64' 'apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross'
$gcc -O1 -std=c11 -static -o digest_arm "$tests/bundle_digest.c" -Ibundle/include \
    bundle/lib/aarch64/libnorms.a || fail 'bundle_digest.c does not build for aarch64'
qemu-aarch64 ./digest_arm >out 2>err || fail "aarch64: $(cat out err)"
cmp -s out native || fail "aarch64 gives $(cat out) instead of $(cat native)"
[ "$(cat err)" = aarch64 ] || fail "aarch64: level $(cat err)"
finish
