# SPDX-License-Identifier: Apache-2.0
# bash completion of tenured(8).

_tenured() {
	local word=${COMP_WORDS[COMP_CWORD]}
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	-c | --config) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	*) mapfile -t COMPREPLY < <(compgen -W '-c --config --check --dump --version --help' -- "$word") ;;
	esac
}

complete -F _tenured tenured
