#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An installed tree works from wherever it was moved to: a host program is built against it with
# pkg-config and with CMake, shared and static, and the program tunes with the worker in libexec.
. "$(dirname "$0")/common.sh"
command -v pkg-config >/dev/null || not_run 'building against the installed tree' 'apt-get install pkg-config'
scratch_dir
unset NORMGEN_WORKER NORMGEN_GEN_LIBRARY NORMGEN_CLI
export NORMGEN_DB="$scratch/tuned.db"

cmake --install "$NORMGEN_BUILD" --prefix "$scratch/first" >"$scratch/log" 2>&1 || {
    cat "$scratch/log"
    exit 1
}
mkdir "$scratch/a b" # a blank in the path, as users have them
mv "$scratch/first" "$scratch/a b/moved"
prefix="$scratch/a b/moved"
grep -rlE "$scratch/first|$NORMGEN_BUILD|$NORMGEN_SOURCE" "$prefix" --include='*.pc' --include='*.cmake' \
    --include='*.h' >"$scratch/found" && fail "absolute paths in $(cat "$scratch/found")"

lib=$(dirname "$(find "$prefix" -name libnormgen.so.0)")
gen=$(find "$prefix" -name 'libnormgen-gen.so.0')
host="$prefix/share/doc/normgen/examples/host.c"
[ -e "$host" ] || fail 'examples/host.c is not installed'
export PKG_CONFIG_PATH="$lib/pkgconfig"

served() { # served PROGRAM: runs it; with the generator installed a compiled kernel serves
    LD_LIBRARY_PATH="$lib" "$1" >"$scratch/out" 2>&1 || fail "$1: $(cat "$scratch/out")"
    grep -q 'first row: bf22 3fa2' "$scratch/out" || fail "$1 prints $(cat "$scratch/out")"
    [ -z "$gen" ] || [ "$2" = static ] || grep -q 'served by: compiled' "$scratch/out" ||
        fail "$1 did not compile: $(cat "$scratch/out")"
}

# pkg-config; its output is quoted for a shell.
build() { eval "${CC:-cc} \"$host\" -o '$scratch/$1' $2" >"$scratch/out" 2>&1 || fail "building $1: $(cat "$scratch/out")"; }
build shared "$(pkg-config --cflags --libs normgen)" && served "$scratch/shared"
build static "$(pkg-config --cflags normgen) '$lib/libnormgen.a' $(pkg-config --static --libs normgen | sed 's/-lnormgen//')" &&
    served "$scratch/static" static
readelf -dW "$scratch/static" | grep -q 'NEEDED.*libnormgen\.' && fail 'the static program needs libnormgen.so'

# CMake, as the two lines of a user.
mkdir "$scratch/user"
cat >"$scratch/user/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.25)
project(user C)
find_package(normgen 0.1 REQUIRED)
add_executable(user_shared "$host")
target_link_libraries(user_shared normgen::normgen)
add_executable(user_static "$host")
target_link_libraries(user_static normgen::normgen-static)
END
if cmake -S "$scratch/user" -B "$scratch/user/build" -DCMAKE_PREFIX_PATH="$prefix" >"$scratch/out" 2>&1 &&
    cmake --build "$scratch/user/build" >>"$scratch/out" 2>&1; then
    served "$scratch/user/build/user_shared"
    served "$scratch/user/build/user_static" static
else
    fail "CMake consumer: $(cat "$scratch/out")"
fi

# The command line finds its library and its worker, also through a link in PATH.
mkdir "$scratch/bin"
ln -s "$prefix/bin/normgen" "$scratch/bin/normgen"
for normgen in "$prefix/bin/normgen" "$scratch/bin/normgen"; do
    "$normgen" cpu >"$scratch/out" 2>&1 || fail "normgen cpu: $(cat "$scratch/out")"
    [ -n "$gen" ] || continue
    "$normgen" --version | grep -q '^toolchain: llvm' || fail "$normgen finds no generator"
done
if [ -n "$gen" ]; then
    [ -e "$prefix/share/normgen/specs/llama.lua" ] || fail 'the specs are not installed'
    (cd "$scratch" && PATH="$scratch/bin:$PATH" normgen tune --hidden 64 --rows 4 --budget 1) >"$scratch/out" 2>&1 ||
        fail "normgen tune: $(cat "$scratch/out")"
fi
finish
