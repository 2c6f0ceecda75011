# SPDX-License-Identifier: Apache-2.0
# bash completion of tenurectl(1).

# Whether the option before the cursor takes a value, and what could stand there.
_tenurectl_value() {
	case $1 in
	--socket | -c | --config) mapfile -t COMPREPLY < <(compgen -f -- "$2") ;;
	-o) mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$2") ;;
	--for) mapfile -t COMPREPLY < <(compgen -W 'leader standby' -- "$2") ;;
	--stop-signal) mapfile -t COMPREPLY < <(compgen -W 'TERM INT HUP QUIT USR1 USR2' -- "$2") ;;
	--term | --timeout | --watchdog | --cooldown | --reconnect | -n) ;;
	*) return 1 ;;
	esac
}

_tenurectl_components() {
	"${words[0]}" "${socket[@]}" status 2>/dev/null |
		awk 'NF == 0 { exit } seen { print $1 } $1 == "COMPONENT" { seen = 1 }'
}

_tenurectl() {
	local words=("${COMP_WORDS[@]}") word=${COMP_WORDS[COMP_CWORD]} command='' socket=() options i
	local colors='--color=auto --color=always --color=never'
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${words[i]} in
		--socket) socket=(--socket "${words[++i]}") ;;
		-*) ;;
		*)
			command=${words[i]}
			break
			;;
		esac
	done
	# From "--" on it is another program's command line.
	for (( ; i < COMP_CWORD; i++)); do
		[ "${words[i]}" = -- ] || continue
		if declare -F _command_offset >/dev/null; then
			_command_offset $((i + 1))
		else
			mapfile -t COMPREPLY < <(compgen -c -f -- "$word")
		fi
		return
	done
	_tenurectl_value "${words[COMP_CWORD - 1]}" "$word" && return
	case $command in
	'') options='--socket --version --help status watch check wait run history resign transfer pause
		resume reload init help' ;;
	status) options="-o $colors" ;;
	watch) options="-o --reconnect $colors" ;;
	check) options='--term -q' ;;
	wait) options='--for --timeout' ;;
	run) options='--notify --once --stop-signal --watchdog --' ;;
	history) options='-n -o' ;;
	resign) options='--cooldown' ;;
	transfer) options='' ;;
	init) options='-c --config --print' ;;
	help) options='status watch check wait run history resign transfer pause resume reload init' ;;
	*) return ;;
	esac
	case $command in
	status | watch | check | wait | run | history | resign | transfer)
		[[ $word == -* ]] || options+=" $(_tenurectl_components)"
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
}

complete -F _tenurectl tenurectl
