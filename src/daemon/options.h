// SPDX-License-Identifier: Apache-2.0
// The command line of tenured.
#ifndef TENURE_OPTIONS_H
#define TENURE_OPTIONS_H

#include "base.h"

#include <stdio.h>

#define OPTIONS_EXIT_USAGE 2

enum options_action {
	OPTIONS_RUN,
	OPTIONS_CHECK,
	OPTIONS_DUMP,
	OPTIONS_VERSION,
	OPTIONS_HELP,
	OPTIONS_INIT_SCHEMA,  // for `tenurectl init`
	OPTIONS_PRINT_SCHEMA, // for `tenurectl init --print`
};

struct options {
	enum options_action action;
	const char *config_path; // points into argv, or is CONFIG_DEFAULT_PATH
};

// 0, or -EINVAL after a message to `errors`: the program is to exit with OPTIONS_EXIT_USAGE.
int options_parse(int argc, char *const argv[], FILE *errors, struct options *ret) MUST_CHECK;
void options_print_help(FILE *stream);
void options_print_version(FILE *stream);

#endif
