# SPDX-License-Identifier: Apache-2.0
# fish completion of tenured(8).

complete -c tenured -f
complete -c tenured -s c -l config -r -F -d "The configuration"
complete -c tenured -l check -d "Say what is wrong with the configuration"
complete -c tenured -l dump -d "Print the configuration in effect"
complete -c tenured -s V -l version -d "Print the version"
complete -c tenured -s h -l help -d "Print a summary"
