#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The rules about the source tree that a compiler does not check: who may include whom, one name per
# file, a licence line in each, headers that stand alone.
. "$(dirname "$0")/common.sh"
cd "$NORMGEN_SOURCE" || exit 1
scratch_dir

folders=
for folder in include runtime gen tuned cli tests bench examples specs cmake docs python; do
    [ -d $folder ] && folders="$folders $folder"
done
files() { find $folders -type f "$@" | sort; }
# Lines with #include in C files below the given folders: file:line:#include …
includes() { grep -rnE '^[[:space:]]*#[[:space:]]*include' --include='*.[ch]' "$@" 2>/dev/null; }
# Reports each line of its input as a breach of a rule.
forbid() {
    while IFS= read -r line; do
        [ -z "$line" ] || printf '%s: %s\n' "$1" "$line"
    done
}

breaches=$({
    # ---- doors: one place knows a library ----
    includes $folders | grep -E '[<"]sqlite3' | grep -vE '^(runtime/sql\.c|tests/)' |
        forbid 'SQLite is included by runtime/sql.c only'
    includes $folders | grep -E '(<lua|"?(lauxlib|lualib|luaconf))\.h' | grep -v '^gen/lua_state\.h:' |
        forbid 'Lua is included by gen/lua_state.h only'
    includes $folders | grep -F '"lua_state.h"' | grep -vE '^gen/lua(_[a-z]+)?\.c:' |
        forbid 'gen/lua_state.h is included by gen/lua*.c only'
    includes $folders | grep -E '[<"]llvm' | grep -v '^gen/' | forbid 'LLVM is included under gen/ only'

    # ---- arrows: cli → tuned → gen → runtime; folders that a layer must not include from ----
    arrow() {
        from=$1
        shift
        for to in "$@"; do
            [ -d "$from" ] && [ -d "$to" ] || continue
            # "name.h" of that folder, alone or behind a path
            find "$to" -name '*.h' | sed 's,.*/\(.*\),["/]\1",; s,\.,[.],g' >"$scratch/headers"
            includes "$from" | grep -f "$scratch/headers" | forbid "$from/ must not include from $to/"
        done
    }
    arrow include runtime gen tuned cli tests
    arrow runtime gen tuned cli tests
    arrow gen tuned cli tests
    arrow tuned cli tests
    arrow cli tests
    arrow examples runtime gen tuned cli tests

    # ---- names, licences, paths ----
    files | sed 's,.*/,,' | grep -vxE 'CMakeLists\.txt|README\.md|__init__\.py' | sort | uniq -d |
        forbid 'two files have this name'
    { files -name '*.[ch]' -o -name '*.cmake' -o -name CMakeLists.txt -o -name '*.sh' -o -name '*.lua' \
        -o -name '*.sql' -o -name '*.py'
        echo CMakeLists.txt dev .ci/run | tr ' ' '\n'; } |
        while IFS= read -r file; do
            head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file"
        done | forbid 'no SPDX line'
    { files && echo README.md && echo CONTRIBUTING.md && echo dev; } | while IFS= read -r file; do
        [ ! -f "$file" ] || grep -nHIE '(^|[^[:alnum:]_.])/(home/[^my]|root/|Users/|wor[k]/)' "$file"
    done | forbid 'a path of somebody'\''s machine'

    # ---- headers stand alone ----
    alone() { # alone COMPILER… FILE
        for last; do :; done
        "$@" -fsyntax-only -Wall -Wextra -Werror 2>&1 | sed -n '1,3p' | forbid "$last does not compile alone"
    }
    for header in include/normgen/*.h; do
        alone cc -std=c99 -Wpedantic -Iinclude -x c "$header"
        if command -v g++ >/dev/null; then alone g++ -std=c++11 -Wpedantic -Wno-missing-field-initializers -Iinclude -x c++ "$header"; fi
    done
    for header in $(find runtime -name '*.h' ! -name '*_body.h'); do
        alone cc -std=c17 -D_GNU_SOURCE -Wno-unused-function -Wno-unused-const-variable \
            -Iinclude -Iruntime -x c "$header"
    done
})

[ -z "$breaches" ] || fail "$breaches"
command -v g++ >/dev/null || not_run 'the public headers as C++' 'apt-get install g++'
finish
