#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Completion as the shells do it: bash's own function is called with the words that a line gives, zsh
# runs its completion in a pseudo-terminal where it is installed.
. "$(dirname "$0")/common.sh"
scratch_dir
cd "$scratch" || exit 1
PATH=$NORMGEN_BUILD:$PATH
source "$NORMGEN_SOURCE/completions/normgen.bash"
touch one.lua two.npy

# Cuts a line as bash does: at blanks, and around each '='.
complete_line() {
    local spaced=${1//=/ = }
    COMP_WORDS=($spaced)
    [[ $1 == *' ' ]] && COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    _normgen normgen "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
}
# gives LINE WORDS…: all of these are among the replies; not LINE WORDS…: none is.
gives() {
    local line=$1 word
    complete_line "$line"
    shift
    for word; do
        [[ " ${COMPREPLY[*]} " == *" $word "* ]] || fail "'$line' does not give $word but: ${COMPREPLY[*]}"
    done
}
not() {
    local line=$1 word
    complete_line "$line"
    shift
    for word; do
        [[ " ${COMPREPLY[*]} " != *" $word "* ]] || fail "'$line' gives $word"
    done
}
exactly() {
    complete_line "$1"
    [ "${COMPREPLY[*]}" = "$2" ] || fail "'$1' gives '${COMPREPLY[*]}', not '$2'"
}

gives 'normgen ' tune run bench emit list show explain check db cpu help --version
exactly 'normgen tu' tune
exactly 'normgen ex' explain
exactly 'normgen help sh' show
gives 'normgen db ' merge check export import gc
gives 'normgen tune --' --effort --budget --hidden --rounding --help
not 'normgen cpu --' --hidden --effort
exactly 'normgen tune --eff' --effort
gives 'normgen tune --effort ' quick normal
exactly 'normgen tune --effort=no' normal
gives 'normgen tune --x ' f32 bf16 f16
exactly 'normgen tune --x=bf' bf16
exactly 'normgen tune --kind la' layer
gives 'normgen show --isa ' x86-64-v3 aarch64
exactly 'normgen show --isa=x86-64-v4' 'x86-64-v4 x86-64-v4+bf16'
exactly 'normgen emit --isa x86-64-v4,aar' x86-64-v4,aarch64
gives 'normgen emit --isa=x86-64-v3,aar' x86-64-v3,aarch64
gives 'normgen emit --regimes l1,' l1,l2 l1,dram
gives 'normgen run --x tw' two.npy
gives 'normgen tune o' one.lua
gives 'normgen db export -o tw' two.npy
exactly 'normgen nonsense ' ''
if normgen list --models >/dev/null 2>&1; then
    model=$(normgen list --models --json | sed -n '1s/.*"model": "\([^"]*\)".*/\1/p')
    [ -n "$model" ] && gives "normgen tune --model ${model%?}" "$model"
fi

if command -v zsh >/dev/null; then
    cat >zsh.in <<END
zmodload zsh/zpty
zpty z 'PATH=$PATH zsh -f -i'
zpty -w z "PROMPT=; fpath=($NORMGEN_SOURCE/completions \\\$fpath); autoload -U compinit; compinit -u -d $scratch/dump; cd $scratch; echo rea''dy"
zpty -r -m z line '*ready*'
zpty -n -w z \$'normgen expl\t --thr\t 3; echo don\$((1))e\n'
zpty -r -m z line '*don1e*'
print -r -- "\$line"
END
    timeout 20 zsh -f zsh.in >zsh.out 2>&1
    grep -q 'normgen explain.*--threads' zsh.out || fail "zsh completes nothing: $(cat -v zsh.out)"
fi
finish
