#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# rebuild.sh NAME TOOL PACKAGE CMAKE-ARGS…: builds everything another way (another compiler, without
# the generator, with sanitizers) in NAME beside the main build, warnings as errors, and runs the
# quick tests there. TOOL is a program that must exist; "-" is none.
. "$(dirname "$0")/common.sh"
name=$1 tool=$2 package=$3
shift 3
[ "$tool" = - ] || command -v "$tool" >/dev/null || not_run "the build $name" "apt-get install $package"

dir=$NORMGEN_BUILD/$name
cmake -S "$NORMGEN_SOURCE" -B "$dir" -G Ninja -DNORMGEN_WERROR=ON -DNORMGEN_NESTED=ON "$@" || exit 1
# Without the generator nothing may even look at LLVM or Lua: they need not be installed.
if [ "$name" = nogen ] && grep -nE -- '-lLLVM|libLLVM|/llvm-[0-9]|-llua|liblua|/lua5' "$dir/build.ninja"; then
    echo 'FAILED: a build without the generator names LLVM or Lua'
    exit 1
fi
cmake --build "$dir" || exit 1
ctest --test-dir "$dir" -L quick --output-on-failure --timeout 120
