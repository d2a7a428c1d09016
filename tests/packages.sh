#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The Debian packages: what they hold and need, and that a host program builds and runs from a scratch
# root that they were installed into, first with libnormgen0 and libnormgen-dev alone.
. "$(dirname "$0")/common.sh"
for tool in cpack dpkg-deb dpkg-shlibdeps; do
    command -v $tool >/dev/null || not_run 'the Debian packages' 'apt-get install cmake dpkg-dev'
done
scratch_dir
unset NORMGEN_WORKER NORMGEN_GEN_LIBRARY NORMGEN_CLI
export NORMGEN_DB="$scratch/tuned.db"
cpack -G DEB -B "$scratch/out" --config "$NORMGEN_BUILD/CPackConfig.cmake" >"$scratch/log" 2>&1 || {
    cat "$scratch/log"
    exit 1
}
rm -rf "$scratch/out/_CPack_Packages"
deb() { echo "$scratch/out/${1}"_*.deb; }
field() { dpkg-deb -f "$(deb "$1")" "$2"; }
holds() { dpkg-deb -c "$(deb "$1")" | grep -qE "$2" || fail "$1 has no $2"; }
needs() { field "$1" Depends | grep -qE "$2" || fail "$1 does not need $2 but: $(field "$1" Depends)"; }
never() { field "$1" Depends | grep -qiE "$2" && fail "$1 needs $2: $(field "$1" Depends)"; }

gen=
[ -e "$NORMGEN_BUILD/libnormgen-gen.so.0" ] && gen=libnormgen-gen0
packages="libnormgen0 libnormgen-dev normgen $gen"
[ "$(ls "$scratch/out" | wc -l)" = "$(echo $packages | wc -w)" ] || fail "packages: $(ls "$scratch/out" | xargs)"
version=$(field libnormgen0 Version)

holds libnormgen0 '/libnormgen\.so\.0'
needs libnormgen0 'libc6 '
needs libnormgen0 'libsqlite3-0'
never libnormgen0 'llvm|lua|stdc|normgen'
holds libnormgen-dev 'include/normgen/normgen\.h'
holds libnormgen-dev '/libnormgen\.so -> libnormgen\.so\.0'
holds libnormgen-dev '/libnormgen\.a'
holds libnormgen-dev 'pkgconfig/normgen\.pc'
holds libnormgen-dev 'cmake/normgen/normgenConfig\.cmake'
holds libnormgen-dev 'examples/engine/engine\.c'
needs libnormgen-dev "libnormgen0 \(= $version\)"
holds normgen 'bin/normgen$'
holds normgen 'man1/normgen\.1'
holds normgen 'man5/normgen-spec\.5'
holds normgen 'bash-completion/completions/normgen'
holds normgen 'specs/llama\.lua'
if [ -n "$gen" ]; then
    holds $gen '/libnormgen-gen\.so\.0'
    needs $gen 'libllvm[0-9]'
    needs $gen 'liblua5\.4'
    needs normgen "libnormgen-gen0 \(= $version\)"
    holds normgen 'libexec/normgen/normgen-worker'
else
    never normgen 'llvm|lua|libnormgen-gen'
fi
for package in $packages; do
    mkdir -p "$scratch/unpacked"
    dpkg-deb -x "$(deb $package)" "$scratch/unpacked/$package"
    (cd "$scratch/unpacked/$package" && find . ! -type d | sort) >>"$scratch/files"
done
sort "$scratch/files" | uniq -d >"$scratch/twice"
[ -s "$scratch/twice" ] && fail "in two packages: $(cat "$scratch/twice")"

# install ROOT PACKAGES…: with dpkg's own bookkeeping; what the system provides stays outside.
install() {
    root=$1
    shift
    mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/triggers"
    : >"$root/var/lib/dpkg/status"
    for package; do
        shift
        set -- "$@" "$(deb "$package")"
    done
    dpkg --root="$root" --force-not-root --force-depends --force-script-chrootless --log=/dev/null -i "$@" \
        >"$scratch/log" 2>&1 || fail "installing $*: $(cat "$scratch/log")"
    lib=$(dirname "$(find "$root/usr" -name libnormgen.so.0)")
}
host() { # builds and runs examples/host.c in the root; output in $scratch/out.txt
    rm -f "$scratch/host"
    PKG_CONFIG_PATH="$lib/pkgconfig" pkg-config --cflags --libs normgen >"$scratch/flags" || fail 'no normgen.pc'
    eval "${CC:-cc} '$NORMGEN_SOURCE/examples/host.c' -o '$scratch/host' $(cat "$scratch/flags")" >"$scratch/log" 2>&1 ||
        fail "building: $(cat "$scratch/log")"
    LD_LIBRARY_PATH=$lib "$scratch/host" >"$scratch/out.txt" 2>&1 || fail "the host: $(cat "$scratch/out.txt")"
    grep -q 'first row: bf22 3fa2' "$scratch/out.txt" || fail "the host prints $(cat "$scratch/out.txt")"
}

install "$scratch/small" libnormgen0 libnormgen-dev
host
grep -q 'served by: interpreter' "$scratch/out.txt" || fail "without a generator: $(cat "$scratch/out.txt")"
ldd "$lib/libnormgen.so.0" | grep -iE 'llvm|lua|stdc|not found' >"$scratch/extra" &&
    fail "libnormgen.so.0 loads $(cat "$scratch/extra")"
size=$(stat -Lc %s "$lib/libnormgen.so.0")
[ "$size" -le 400000 ] || fail "libnormgen.so.0 has $size bytes stripped, the limit is 400000"
echo "libnormgen.so.0 stripped: $size bytes"

install "$scratch/full" $packages
host
[ -z "$gen" ] || grep -q 'served by: compiled' "$scratch/out.txt" || fail "with it: $(cat "$scratch/out.txt")"
normgen=$scratch/full/usr/bin/normgen
"$normgen" cpu >"$scratch/log" 2>&1 || fail "normgen cpu: $(cat "$scratch/log")"
if [ -n "$gen" ]; then
    "$normgen" check --hidden 64 --schedules 2 >"$scratch/log" 2>&1 || fail "normgen check: $(cat "$scratch/log")"
    "$normgen" tune --hidden 64 --rows 4 --effort quick --budget 2 >"$scratch/log" 2>&1 ||
        fail "normgen tune: $(cat "$scratch/log")"
fi

# And away again.
dpkg --root="$scratch/full" --force-not-root --force-depends --log=/dev/null -P $packages >"$scratch/log" 2>&1 ||
    fail "removing: $(cat "$scratch/log")"
find "$scratch/full/usr" ! -type d 2>/dev/null | grep . >"$scratch/left" && fail "left behind: $(cat "$scratch/left")"
finish
