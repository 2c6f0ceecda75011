#compdef tenurectl tenured
# SPDX-License-Identifier: Apache-2.0
# zsh completion of tenurectl(1) and tenured(8).

_tenure_components() {
	local -a names
	names=(${(f)"$(tenurectl ${opt_args[--socket]:+--socket} ${opt_args[--socket]} status 2>/dev/null |
		awk 'NF == 0 { exit } seen { print $1 } $1 == "COMPONENT" { seen = 1 }')"})
	names=(${names//:/\\:})
	_describe component names
}

_tenurectl_commands() {
	local -a commands
	commands=(
		'status:who leads what, seen from here'
		'watch:the same as a table that follows'
		'check:whether a term is valid here'
		'wait:until this node leads or stands by'
		'run:runs a command while this node leads'
		'history:past terms, and why they ended'
		'resign:another node is to lead'
		'transfer:another node, that is named, is to lead'
		'pause:leaders stay, nobody is elected'
		'resume:the fleet elects again'
		'reload:the daemon reads its configuration again'
		'init:creates or upgrades the database schema'
		'help:what there is'
	)
	_describe command commands
}

_tenurectl() {
	local curcontext=$curcontext state line
	typeset -A opt_args
	_arguments -C \
		'--socket[the socket of the daemon]:socket:_files' \
		'(- *)'{-V,--version}'[print the version]' \
		'(- *)'{-h,--help}'[print a summary]' \
		'1:command:_tenurectl_commands' \
		'*::argument:->arguments' && return
	[[ $state == arguments ]] || return
	case $words[1] in
	status) _arguments '-o[format]:format:(text json)' '--color=-[when in colour]::when:(auto always never)' \
		'*:component:_tenure_components' ;;
	watch) _arguments '-o[format]:format:(text json)' '--color=-[when in colour]::when:(auto always never)' \
		'--reconnect[how long the daemon may be away]:duration:' '*:component:_tenure_components' ;;
	check) _arguments '--term[of that number]:term:' '-q[print nothing]' '1:component:_tenure_components' ;;
	wait) _arguments '--for[what to wait for]:role:(leader standby)' '--timeout[how long]:duration:' \
		'1:component:_tenure_components' ;;
	run) _arguments '--notify[the command reports READY=1]' '--once[not again at the next term]' \
		'--stop-signal[what ends the command]:signal:_signals' '--watchdog[how often it reports]:duration:' \
		'1:component:_tenure_components' '*::command:_normal' ;;
	history) _arguments '-n[how many]:count:' '-o[format]:format:(text json)' '1:component:_tenure_components' ;;
	transfer) _arguments '1:component:_tenure_components' '2:node:' ;;
	resign) _arguments '--cooldown[how long it stands back]:duration:' '1:component:_tenure_components' ;;
	help) _arguments '1:command:_tenurectl_commands' ;;
	init) _arguments '(-c --config)'{-c,--config}'[the configuration]:file:_files' \
		'--print[write the SQL instead]' ;;
	esac
}

_tenured() {
	_arguments '(-c --config)'{-c,--config}'[the configuration]:file:_files' \
		'(- *)--check[say what is wrong with the configuration]' \
		'(- *)--dump[print the configuration in effect]' \
		'(- *)'{-V,--version}'[print the version]' \
		'(- *)'{-h,--help}'[print a summary]'
}

case $service in
tenured) _tenured "$@" ;;
*) _tenurectl "$@" ;;
esac
