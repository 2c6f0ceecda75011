# SPDX-License-Identifier: Apache-2.0
# fish completion of tenurectl(1).

set -l commands status watch check wait run history resign transfer pause resume reload init help
set -l first "not __fish_seen_subcommand_from $commands"

function __tenurectl_components
    tenurectl status 2>/dev/null | awk 'NF == 0 { exit } seen { print $1 } $1 == "COMPONENT" { seen = 1 }'
end

complete -c tenurectl -f
complete -c tenurectl -n $first -l socket -r -F -d "The socket of the daemon"
complete -c tenurectl -n $first -s V -l version -d "Print the version"
complete -c tenurectl -n $first -s h -l help -d "Print a summary"
complete -c tenurectl -n $first -a status -d "Who leads what, seen from here"
complete -c tenurectl -n $first -a watch -d "The same as a table that follows"
complete -c tenurectl -n $first -a check -d "Whether a term is valid here"
complete -c tenurectl -n $first -a wait -d "Until this node leads or stands by"
complete -c tenurectl -n $first -a run -d "Runs a command while this node leads"
complete -c tenurectl -n $first -a resign -d "Another node is to lead"
complete -c tenurectl -n $first -a history -d "Past terms, and why they ended"
complete -c tenurectl -n $first -a transfer -d "Another node, that is named, is to lead"
complete -c tenurectl -n $first -a pause -d "Leaders stay, nobody is elected"
complete -c tenurectl -n $first -a resume -d "The fleet elects again"
complete -c tenurectl -n $first -a reload -d "The daemon reads its configuration again"
complete -c tenurectl -n $first -a init -d "Creates or upgrades the database schema"
complete -c tenurectl -n $first -a help -d "What there is"
complete -c tenurectl -n "__fish_seen_subcommand_from help" -a "$commands"
set -l named "__fish_seen_subcommand_from status watch check wait run history resign transfer"
complete -c tenurectl -n $named -a "(__tenurectl_components)"
complete -c tenurectl -n "__fish_seen_subcommand_from status watch history" -s o -x -a "text json" -d "Format"
complete -c tenurectl -n "__fish_seen_subcommand_from status watch" -l color -x -a "auto always never" -d "In colour"
complete -c tenurectl -n "__fish_seen_subcommand_from watch" -l reconnect -x -d "How long the daemon may be away"
complete -c tenurectl -n "__fish_seen_subcommand_from check" -l term -x -d "Of that number"
complete -c tenurectl -n "__fish_seen_subcommand_from check" -s q -d "Print nothing"
complete -c tenurectl -n "__fish_seen_subcommand_from wait" -l for -x -a "leader standby" -d "What to wait for"
complete -c tenurectl -n "__fish_seen_subcommand_from wait" -l timeout -x -d "How long"
complete -c tenurectl -n "__fish_seen_subcommand_from run" -l notify -d "The command reports READY=1"
complete -c tenurectl -n "__fish_seen_subcommand_from run" -l once -d "Not again at the next term"
complete -c tenurectl -n "__fish_seen_subcommand_from run" -l stop-signal -x -d "What ends the command"
complete -c tenurectl -n "__fish_seen_subcommand_from run" -l watchdog -x -d "How often it reports"
complete -c tenurectl -n "__fish_seen_subcommand_from resign" -l cooldown -x -d "How long it stands back"
complete -c tenurectl -n "__fish_seen_subcommand_from history" -s n -x -d "How many"
complete -c tenurectl -n "__fish_seen_subcommand_from init" -s c -l config -r -F -d "The configuration"
complete -c tenurectl -n "__fish_seen_subcommand_from init" -l print -d "Write the SQL instead"
