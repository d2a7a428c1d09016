#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the built libraries need and export: libnormgen carries neither LLVM nor Lua nor C++, and both
# libraries show nothing but their interface.
. "$(dirname "$0")/common.sh"
cd "$NORMGEN_BUILD" || exit 1
scratch_dir

needs() { readelf -dW "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
# Without version nodes, which are symbols of their own.
exports() { nm -D --defined-only "$1" | awk '$2 != "A" {sub(/@.*/, "", $3); print $3}' | sort; }

for file in libnormgen.so.0 normgen; do
    needs $file | grep -vE '^(libsqlite3|libm|libc|libdl|libpthread|libgomp|libomp|ld-linux-[a-z0-9-]+)\.so' \
        >"$scratch/extra" && fail "$file needs $(cat "$scratch/extra")"
    ldd $file | grep -iE 'llvm|lua|stdc\+\+|not found' >"$scratch/extra" &&
        fail "$file loads $(cat "$scratch/extra")"
    readelf -lW $file | grep -E 'GNU_STACK.*RWE' >/dev/null && fail "$file has an executable stack"
    readelf -dW $file | grep -F '(TEXTREL)' >/dev/null && fail "$file has text relocations"
done
[ "$(readelf -dW libnormgen.so.0 | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')" = libnormgen.so.0 ] ||
    fail 'the SONAME of libnormgen is not libnormgen.so.0'

nm -D --defined-only libnormgen.so.0 | grep ' T ' | grep -v '@@NORMGEN_0$' >"$scratch/extra" &&
    fail "symbols without the version NORMGEN_0: $(cat "$scratch/extra")"

# Exported are exactly the functions that the public header declares.
tr '\n' ' ' <"$NORMGEN_SOURCE/include/normgen/normgen.h" | tr ';}' '\n\n' |
    sed -n 's/^.*NORMGEN_API \([^()]*[ *]\)\(normgen_[a-z0-9_]*\)(.*/\2/p' | sort >"$scratch/declared"
exports libnormgen.so.0 >"$scratch/exported"
[ -s "$scratch/declared" ] || fail 'no declaration was found in normgen.h'
diff "$scratch/declared" "$scratch/exported" >"$scratch/diff" ||
    fail "libnormgen.so.0 and normgen.h differ (< declared, > exported): $(cat "$scratch/diff")"

if [ -e libnormgen-gen.so.0 ]; then
    [ "$(exports libnormgen-gen.so.0)" = normgen_gen_table ] ||
        fail "libnormgen-gen.so.0 exports not only normgen_gen_table: $(exports libnormgen-gen.so.0 | xargs)"
    needs libnormgen-gen.so.0 | grep -q '^libLLVM' || fail 'libnormgen-gen.so.0 has no shared LLVM'
    needs libnormgen-gen.so.0 | grep -qE '^(libnormgen\.so|libstdc)' &&
        fail 'libnormgen-gen.so.0 needs libnormgen or C++ itself'
fi
finish
