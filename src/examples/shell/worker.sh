#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# worker.sh COMPONENT: the whole life of a worker in one line, whose work is to say its term each second.
# shellcheck disable=SC2016 # the command knows its term, and we do not
exec tenurectl run "$1" -- sh -c 'while sleep 1; do echo "$TENURE_TERM"; done'
