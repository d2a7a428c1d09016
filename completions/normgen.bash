# SPDX-License-Identifier: Apache-2.0
# Completion of normgen for bash. The program itself says what may follow; here its words are only put
# together again where bash cut them at '='.
_normgen() {
    local word line i words=()
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ ${#words[@]} -gt 0 && ($word == =* || ${words[-1]} == --*=) ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
    done
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == //files ]]; then
            compopt -o filenames -o default 2>/dev/null
            while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]#=}")
        elif [[ ${words[-1]} == --*=* ]]; then
            COMPREPLY+=("${line#*=}") # bash replaces what stands behind the '=' only
        else
            COMPREPLY+=("$line")
        fi
    done < <("$1" __complete "${words[@]}" 2>/dev/null)
}
complete -F _normgen normgen
