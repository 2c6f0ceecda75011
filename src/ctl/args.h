// SPDX-License-Identifier: Apache-2.0
// Arguments of the commands, and what is said on standard error.
#ifndef TENURE_ARGS_H
#define TENURE_ARGS_H

#include <getopt.h>

#include "ctl.h"

// "tenurectl: …" on standard error.
void ctl_say(const char *format, ...) PRINTF_LIKE(1, 2);
// The same for wrong usage, with a hint; returns CTL_USAGE.
int ctl_misuse(const char *format, ...) PRINTF_LIKE(1, 2);

// Of the program: they come before the command.
extern const struct option args_global_options[];

// getopt_long() that says itself what is wrong, returning '?' then. `short_options` begins with ":" (options may stand
// among operands) or "+:" (they may not).
int args_next(int argc, char *argv[], const char *short_options, const struct option *long_options);

// 0, or -EINVAL. A number with ms, s, m, h or d; more than 0 and at most a day.
int args_duration(const char *text, int64_t *ret_ns) MUST_CHECK;
// TERM, SIGTERM or a number.
int args_signal(const char *text, int *ret) MUST_CHECK;
// text or json.
int args_format(const char *text, enum ctl_format *ret) MUST_CHECK;
// auto, always or never; NULL is always.
int args_color(const char *text, enum ctl_color *ret) MUST_CHECK;

// CTL_OK, or CTL_USAGE after saying that these are not names of components.
int args_components(int count, char *const names[]) MUST_CHECK;

#endif
