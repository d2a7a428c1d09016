#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# examples/engine, built from an installed tree: a bundle in two lines of CMake, emitted again only when
# its specs change, the same output on CPUs with and without AVX-512, AVX2 and FMA, and on aarch64.
. "$(dirname "$0")/common.sh"
scratch_dir
cmake --install "$NORMGEN_BUILD" --prefix "$scratch/normgen" >"$scratch/log" 2>&1 || {
    cat "$scratch/log"
    exit 1
}
rm "$scratch"/normgen/lib*/*/libnormgen.so* "$scratch"/normgen/lib*/libnormgen.so* 2>/dev/null # not needed
cp -r "$scratch/normgen/share/doc/normgen/examples/engine" "$scratch/engine"

configure() { # configure NAME ARGS…
    name=$1
    shift
    cmake -S "$scratch/engine" -B "$scratch/$name" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/normgen" "$@" \
        >"$scratch/out" 2>&1 || fail "configuring $name: $(cat "$scratch/out")"
}
build() { cmake --build "$scratch/$1" >"$scratch/out" 2>&1 || fail "building $1: $(cat "$scratch/out")"; }
says() { grep -q "$1" "$scratch/out" || fail "$2: $(cat "$scratch/out")"; }

configure here
build here
says 'Emitting norms' 'no bundle was emitted'
digest=$("$scratch/here/engine" 2>"$scratch/isa")
case $digest in '16 tokens, digest '*) ;; *) fail "the engine prints '$digest'" ;; esac
grep -q 'norms for .' "$scratch/isa" || fail "the engine names no ISA level: $(cat "$scratch/isa")"
readelf -dW "$scratch/here/engine" | grep NEEDED | grep -v 'libc\.so' >"$scratch/extra" &&
    fail "the engine needs more than libc: $(cat "$scratch/extra")"

# Nothing to do; a changed spec file emits and links again; clean builds again.
build here
says 'no work to do' 'a second build does something'
touch "$scratch/engine/norms.lua"
build here
says 'Emitting norms' 'a touched spec file emits nothing'
cmake --build "$scratch/here" --target clean >/dev/null
build here
says 'Emitting norms' 'after clean nothing is emitted'
[ "$("$scratch/here/engine" 2>/dev/null)" = "$digest" ] || fail 'a second build computes something else'

# What is wrong is said at configure time.
mkdir "$scratch/wrong"
for case in 'norms' 'norms SPECS' 'norms SPECS a.lua SPEED fast' 'norms TUNED'; do
    printf 'cmake_minimum_required(VERSION 3.25)\nproject(wrong C)\nfind_package(normgen REQUIRED)\nnormgen_add_bundle(%s)\n' \
        "$case" >"$scratch/wrong/CMakeLists.txt"
    cmake -S "$scratch/wrong" -B "$scratch/wrong/b" -DCMAKE_PREFIX_PATH="$scratch/normgen" >"$scratch/out" 2>&1 &&
        fail "normgen_add_bundle($case) is taken"
    says 'normgen_add_bundle(norms)' "normgen_add_bundle($case) says nothing about itself"
done

# A bundle asks nothing of the C library.
if command -v musl-gcc >/dev/null; then
    musl-gcc -O2 -ffp-contract=off -static -I"$scratch/here/norms.bundle/include" "$scratch/engine/engine.c" \
        "$scratch/here/norms.bundle/lib/$(uname -m)/libnorms.a" -o "$scratch/musl" >"$scratch/out" 2>&1 ||
        fail "with musl: $(cat "$scratch/out")"
    [ "$("$scratch/musl" 2>/dev/null)" = "$digest" ] || fail 'with musl the engine prints something else'
fi

if [ "$(uname -m)" = x86_64 ] && command -v qemu-x86_64 >/dev/null; then
    for cpu in Nehalem Haswell Haswell,-fma; do
        [ "$(qemu-x86_64 -cpu $cpu "$scratch/here/engine" 2>/dev/null)" = "$digest" ] ||
            fail "on $cpu the engine prints $(qemu-x86_64 -cpu $cpu "$scratch/here/engine" 2>&1)"
    done
fi
if command -v aarch64-linux-gnu-gcc >/dev/null && command -v qemu-aarch64 >/dev/null; then
    configure arm -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
        -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DNORMGEN_PROGRAM="$scratch/normgen/bin/normgen"
    build arm
    [ "$(qemu-aarch64 -L /usr/aarch64-linux-gnu "$scratch/arm/engine" 2>/dev/null)" = "$digest" ] ||
        fail "on aarch64 the engine prints $(qemu-aarch64 -L /usr/aarch64-linux-gnu "$scratch/arm/engine" 2>&1)"
fi
finish
