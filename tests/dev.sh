#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An ordinary user on a machine where nothing is installed gets the one command that helps; nothing is
# run or changed. The machine is a PATH with the shell's own tools only.
. "$(dirname "$0")/common.sh"
scratch_dir
chmod 755 "$scratch"
mkdir "$scratch/bin" "$scratch/tree"
for tool in bash sh dirname id sed sort cat grep setpriv env; do
    ln -s "$(command -v $tool)" "$scratch/bin/$tool"
done
cp "$NORMGEN_SOURCE/dev" "$scratch/tree/dev"
as_user=
[ "$(id -u)" != 0 ] || as_user='setpriv --reuid=65534 --regid=65534 --clear-groups'

bare() { # bare ARGS…: ./dev on the bare machine; output in $scratch/out
    env -i PATH="$scratch/bin" $as_user bash "$scratch/tree/dev" "$@" >"$scratch/out" 2>&1
}
shows() { grep -qF -e "$1" "$scratch/out" || fail "$2: no '$1' in: $(cat "$scratch/out")"; }

# A system without a package manager that ./dev knows.
bare build && fail 'build succeeded without a compiler'
shows 'gcc' 'unknown system'

# Debian, Fedora and Arch: the command is whole and can be copied.
for manager in apt-get dnf pacman; do
    printf '#!/bin/sh\n' >"$scratch/bin/$manager"
    chmod +x "$scratch/bin/$manager"
    bare run cpu && fail "run succeeded without a compiler ($manager)"
    shows "sudo $manager" "$manager"
    [ $manager != apt-get ] || shows 'llvm-19-dev liblua5.4-dev libsqlite3-dev check' $manager
    [ -e "$scratch/tree/build" ] && fail 'something was built'
    rm "$scratch/bin/$manager"
done

bare help || fail 'help failed'
shows './dev test' help
bare nonsense
[ $? -eq 2 ] || fail 'an unknown verb is not exit code 2'
finish
