#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Bundles from the outside: C and C++ programs link them, alone and two at once; header and library
# that do not belong together do not link; symbols; the same bytes whatever the surroundings; wrong
# input leaves nothing behind; a killed emit leaves a whole bundle.
. "$(dirname "$0")/common.sh"
scratch_dir
cd "$scratch" || exit 1
normgen=$NORMGEN_BUILD/normgen
arch=$(uname -m)
case $arch in x86_64) isa=x86-64-v3 ;; *) isa=aarch64 ;; esac
export XDG_DATA_HOME="$scratch/data" # no store

cat >one.lua <<'END'
return spec { name = "n", kind = "rms", hidden = 64, eps = 1e-5 }
END
sed 's/64/128/' one.lua >other.lua
emit() { "$normgen" emit "$@" >log 2>&1; }
emit one.lua --isa $isa -o one --shared || fail "emit: $(cat log)"
emit other.lua --isa $isa -o other || fail "emit: $(cat log)"
emit one.lua --isa $isa -o second --prefix second || fail "emit: $(cat log)"

# ---- programs ----

cat >main.c <<'END'
#include "norms.h"
#include "second.h"
static float x[3 * 64], y[3 * 64], w[64];
int main(void) {
    norms_n_args a;
    second_n_args b;
    int i;
    for (i = 0; i < 3 * 64; i++) x[i] = 1;
    for (i = 0; i < 64; i++) w[i] = 2;
    a.rows = 3; a.x = x; a.y = y; a.weight = w; a.x_stride = 0; a.y_stride = 0;
    if (sizeof a > sizeof(size_t) * 6) { a.rows = 3; }
    b.rows = 3; b.x = x; b.y = x; b.weight = w; b.x_stride = 0; b.y_stride = 0;
    if (norms_n(&a) != NORMS_OK || y[0] < 1.9f || y[191] > 2.1f) return 1;
    if (second_n_rows(&b, 1, 2) != SECOND_OK || x[64] < 1.9f || x[0] > 1 || x[128] > 1) return 2;
    a.x = 0;
    if (norms_n(&a) != NORMS_E_NULL) return 3;
    return norms_isa()[0] == 0;
}
END
libraries="one/lib/$arch/libnorms.a second/lib/$arch/libsecond.a"
builds() { # builds COMMAND…: with warnings as errors, and runs
    "$@" -Wall -Wextra -Wpedantic -Werror -Ione/include -Isecond/include -o main $libraries >log 2>&1 ||
        { fail "$*: $(cat log)" && return; }
    ./main || fail "$*: the program returned $?"
}
cat main.c >main.cpp
builds cc -std=c99 main.c
if command -v g++ >/dev/null; then builds g++ -std=c++11 main.cpp; fi
if command -v clang-19 >/dev/null; then builds clang-19 -std=c99 main.c; fi
cc -Ione/include -Isecond/include main.c -o main "second/lib/$arch/libsecond.a" -Lone/lib/"$arch" -lnorms \
    -Wl,-rpath,"$scratch/one/lib/$arch" 2>log && ./main || fail "the shared library: $(cat log)"

cc -Iother/include -Isecond/include main.c -o main $libraries >log 2>&1 &&
    fail 'a header of one bundle links with the library of another'
grep -q 'undefined reference to .norms_n_' log || fail "no undefined reference: $(cat log)"

# ---- models with rows on two levels ----

cat >qk.c <<'END'
#include "qwen.h"
#include "dit.h"
#include <string.h>
enum { T = 3, H = 32, KV = 8, D = 128, TOKEN = (H + 2 * KV) * D };
static uint16_t qkv[T * TOKEN], apart[T * H * D], w[D];
static float angle[2][T * D / 2];
static uint16_t image[2 * 4 * 1152], made[2 * 4 * 1152], scale[2 * 1152], shift[2 * 1152];
int main(void) {
    qwen_qwen3_8b__qk_rope_args a;
    dit_dit_xl__modulate_args m;
    size_t i, t;
    for (i = 0; i < T * TOKEN; i++) qkv[i] = (uint16_t)(0x3f80 + i % 97);
    for (i = 0; i < D; i++) w[i] = 0x3f80;
    for (i = 0; i < T * D / 2; i++) angle[0][i] = 0.5f, angle[1][i] = 0.25f;
    memset(&a, 0, sizeof a);
    a.rows = T * H, a.inner = H, a.x = qkv, a.y = apart, a.weight = w;
    a.cos = angle[0], a.sin = angle[1];
    a.x_outer = TOKEN * 2;
    if (qwen_qwen3_8b__qk_rope(&a) != QWEN_OK) return 1;
    a.y = qkv, a.y_outer = a.x_outer; /* in place */
    if (qwen_qwen3_8b__qk_rope(&a) != QWEN_OK) return 2;
    for (t = 0; t < T; t++) {
        if (memcmp(qkv + t * TOKEN, apart + t * H * D, H * D * 2)) return 3;
        if (qkv[t * TOKEN + H * D] != 0x3f80 + (t * TOKEN + H * D) % 97) return 4;
    }
    a.y = qkv + D; /* one head on */
    if (qwen_qwen3_8b__qk_rope(&a) != QWEN_E_OVERLAP) return 5;
    a.y = qkv, a.inner = 0;
    if (qwen_qwen3_8b__qk_rope(&a) != QWEN_E_INNER || !qwen_status_text(QWEN_E_INNER)[0]) return 6;
    memset(&m, 0, sizeof m);
    for (i = 0; i < 2 * 4 * 1152; i++) image[i] = (uint16_t)(0x3f00 + i % 251);
    for (i = 0; i < 1152; i++) shift[i] = 0x3f80, shift[1152 + i] = 0x4000;
    m.rows = 8, m.inner = 4, m.x = image, m.y = made, m.mod_scale = scale, m.mod_shift = shift;
    if (dit_dit_xl__modulate(&m) != DIT_OK || made[0] == made[4 * 1152]) return 7;
    return 0;
}
END
for model in qwen3-8b:qwen gemma-3-27b:gemma dit-xl:dit; do
    emit --model "${model%:*}" --isa $isa --prefix "${model#*:}" -o "${model#*:}" ||
        fail "emit --model ${model%:*}: $(cat log)"
done
cc -std=c99 -Wall -Wextra -Wpedantic -Werror -Iqwen/include -Idit/include qk.c -o qk \
    "qwen/lib/$arch/libqwen.a" "dit/lib/$arch/libdit.a" >log 2>&1 && ./qk ||
    fail "norms of qwen3-8b and dit-xl: $? $(cat log)"

# ---- what finds it ----

PKG_CONFIG_PATH=one/lib/$arch/pkgconfig pkg-config --cflags --libs norms >flags || fail 'pkg-config'
cc -Isecond/include main.c -o main $(cat flags) "second/lib/$arch/libsecond.a" \
    -Wl,-rpath,"$scratch/one/lib/$arch" && ./main || fail 'flags of pkg-config'
mkdir project
cat >project/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.20)
project(user C)
find_package(norms REQUIRED)
find_package(second REQUIRED)
add_executable(main ../main.c)
target_link_libraries(main norms::norms second::second)
END
{ cmake -S project -B project/build -DCMAKE_PREFIX_PATH="$scratch/one;$scratch/second" &&
    cmake --build project/build && project/build/main; } >log 2>&1 || fail "find_package: $(tail -n 20 log)"

# ---- symbols ----

nm -A "one/lib/$arch/libnorms.a" | awk 'NF > 2 && $(NF - 1) ~ /^[A-Z]$/ && $(NF - 1) != "U" {print $NF}' >defined
grep -v '^norms_' defined && fail 'symbols without the prefix'
nm "one/lib/$arch/libnorms.a" | awk '$1 == "U" {print $2}' | sort -u | while read -r s; do
    grep -qx "$s" defined || echo "$s"
done >undefined
[ -s undefined ] && fail "undefined symbols: $(cat undefined)"
nm -D "one/lib/$arch/libnorms.so" | grep -vE ' T norms_(n_|n_rows_|isa|bundle)' && fail 'exports of the shared library'
readelf -dW "one/lib/$arch/libnorms.so" | grep -E 'NEEDED|TEXTREL' && fail 'the shared library needs something'
ar t "one/lib/$arch/libnorms.a" | grep -qx dispatch.o || fail 'ar does not read the library'
readelf -SW "one/lib/$arch/libnorms.a" | grep -E '\.(init_array|ctors|eh_frame)' && fail 'constructors'
readelf -sW "one/lib/$arch/libnorms.a" | grep -q IFUNC && fail 'an IFUNC'

# ---- the same bytes ----

mkdir -p "elsewhere/much deeper"
(cd 'elsewhere/much deeper' && umask 077 && HOME=/nonexistent TZ=Asia/Tokyo LC_ALL=de_DE.UTF-8 USER=x \
    "$normgen" emit "$scratch/one.lua" --isa $isa --shared -o here >log 2>&1) || fail 'emit elsewhere'
diff -r one 'elsewhere/much deeper/here' || fail 'other bytes in another folder, locale and time zone'
touch -d '2001-02-03' "one/include/norms.h"
emit one.lua --isa $isa -o one --shared || fail "emit again: $(cat log)"
[ one/include/norms.h -ot one.lua ] || fail 'a header that stayed the same has a new time'

# ---- wrong input ----

wrong() { # wrong CODE WORDS ARGUMENTS…
    code=$1 words=$2
    shift 2
    env PATH="${path:-$PATH}" LD="${ld:-}" "$normgen" emit "$@" >out 2>err
    got=$?
    [ $got = "$code" ] || fail "emit $*: exit code $got, not $code: $(cat err)"
    grep -q -e "$words" err || fail "emit $*: no '$words' in: $(cat err)"
    [ ! -s out ] || fail "emit $*: $(cat out)"
    [ -z "$(find . -name 'none*')" ] || fail "emit $* left $(find . -name 'none*')"
}
wrong 2 'no output folder' one.lua
wrong 2 'no spec is given' -o none
wrong 2 'there are x86-64' one.lua --isa x86-64-v5 -o none
wrong 2 'C identifier' one.lua --prefix 2nd -o none
wrong 2 'belongs to the headers of libnormgen' one.lua --prefix NormGen -o none
for name in isa bundle status status_text OK E_NULL H; do
    wrong 1 "cannot be called '$name'" "$(sed "s/\"n\"/\"$name\"/" one.lua >taken.lua && echo taken.lua)" -o none
done
for name in n_rows n_args; do
    sed "s/\"n\"/\"$name\"/" other.lua >taken.lua
    wrong 1 "specs 'n' and '$name'" one.lua taken.lua -o none
    wrong 1 "specs '$name' and 'n'" taken.lua one.lua -o none
done
text="rms hidden=64 eps=1e-5"
emit "$text" --isa $isa -o once && emit "$text" "$text" --isa $isa -o twice && diff -r once twice || fail "one spec twice: $(cat log)"
wrong 2 'no regime' one.lua --regimes l1,l9 -o none
wrong 1 'cannot make' one.lua -o /proc/none/out
wrong 1 'is no folder' one.lua -o one.lua
wrong 1 'no store yet' one.lua --tuned -o none
wrong 1 'none.lua' none.lua -o none
path=/nowhere
wrong 1 'install binutils' one.lua --isa $isa --shared -o none
path='' ld=/nowhere/ld
wrong 1 'cannot be run' one.lua --isa $isa --shared -o none
ld=''
[ $arch != x86_64 ] || wrong 2 'leave one of the two out' one.lua --isa x86-64 --no-baseline -o none
mkdir full && touch full/precious
wrong 1 'precious' one.lua -o full
[ -e full/precious ] || fail 'a foreign file is gone'

# ---- killed at any time ----

whole() { # every file is as its manifest says
    sed -n 's/^    "\(.*\)": {"bytes": [0-9]*, "sha256": "\([0-9a-f]*\)"}.*/\2  \1/p' "$1/manifest.json" >sums
    [ "$(wc -l <sums)" -ge 4 ] && (cd "$1" && sha256sum --quiet -c "$scratch/sums") >log 2>&1 ||
        fail "not a whole bundle: $(cat log)"
}
whole one
for delay in 0.01 0.03 0.05 0.07 0.09 0.12; do
    "$normgen" emit other.lua --isa $isa -o other --prefix "p${delay#0.}" >/dev/null 2>&1 &
    sleep $delay
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    whole other
done
emit one.lua --isa $isa -o other || fail "after kills: $(cat log)"
whole other
ls -d other.new* other.old* 2>/dev/null && fail 'killed ones left something behind'
finish
