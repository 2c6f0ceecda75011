// SPDX-License-Identifier: Apache-2.0
// The command line of tenured.
#include "options.h"

#include "config.h"

#include <errno.h>
#include <getopt.h>

enum long_option {
	OPTION_CHECK = 256,
	OPTION_DUMP,
	OPTION_INIT_SCHEMA,
	OPTION_PRINT,
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"check", no_argument, NULL, OPTION_CHECK},
	{"dump", no_argument, NULL, OPTION_DUMP},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{"init-schema", no_argument, NULL, OPTION_INIT_SCHEMA},
	{"print", no_argument, NULL, OPTION_PRINT},
	{NULL, 0, NULL, 0},
};

static int complain(FILE *errors, const char *what, const char *word)
{
	fprintf(errors, "tenured: %s%s%s; tenured --help lists what there is\n", what, word != NULL ? " " : "",
		word != NULL ? word : "");
	return -EINVAL;
}

static int set_action(struct options *options, enum options_action action, FILE *errors)
{
	if (options->action != OPTIONS_RUN && options->action != action)
		return complain(errors, "only one of --check, --dump, --version, --help may be given", NULL);
	options->action = action;
	return 0;
}

static int take(int option, struct options *options, bool *print, FILE *errors)
{
	switch (option) {
	case 'c':
		options->config_path = optarg;
		return 0;
	case 'V':
		return set_action(options, OPTIONS_VERSION, errors);
	case 'h':
		return set_action(options, OPTIONS_HELP, errors);
	case OPTION_CHECK:
		return set_action(options, OPTIONS_CHECK, errors);
	case OPTION_DUMP:
		return set_action(options, OPTIONS_DUMP, errors);
	case OPTION_INIT_SCHEMA:
		return set_action(options, OPTIONS_INIT_SCHEMA, errors);
	case OPTION_PRINT:
		*print = true;
		return 0;
	default:
		return -EINVAL;
	}
}

// Whatever getopt_long() refused: it has moved past a long option, and stays at a group of short ones.
static int complain_option(int option, char *const argv[], FILE *errors)
{
	char letter[] = {'-', (char)optopt, '\0'};
	const bool is_short = optopt > 0 && optopt < OPTION_CHECK;
	const char *word = is_short ? letter : argv[optind - 1];
	return complain(errors, option == ':' ? "there is no FILE after" : "unknown or wrong option", word);
}

int options_parse(int argc, char *const argv[], FILE *errors, struct options *ret)
{
	struct options options = {.action = OPTIONS_RUN, .config_path = CONFIG_DEFAULT_PATH};
	bool print = false;
	int option;
	optind = 0; // glibc's way to begin anew
	while ((option = getopt_long(argc, argv, "+:c:Vh", long_options, NULL)) != -1) {
		if (option == '?' || option == ':')
			return complain_option(option, argv, errors);
		const int result = take(option, &options, &print, errors);
		if (result < 0)
			return result;
	}
	if (optind < argc)
		return complain(errors, "takes no arguments, there is", argv[optind]);
	if (print && options.action != OPTIONS_INIT_SCHEMA)
		return complain(errors, "--print goes with --init-schema", NULL);
	if (print)
		options.action = OPTIONS_PRINT_SCHEMA;
	*ret = options;
	return 0;
}

void options_print_help(FILE *stream)
{
	fputs("Usage: tenured [-c FILE] [--check | --dump | --version | --help]\n"
	      "Keeps leases in a database for the workers of this replica, in the foreground; logs to standard error.\n"
	      "\n"
	      "  -c, --config FILE  the configuration, tenured.conf(5); without it " CONFIG_DEFAULT_PATH "\n"
	      "      --check        reads and checks the configuration, says what is wrong with it, and exits\n"
	      "      --dump         prints the configuration with its defaults and without secrets, and exits\n"
	      "  -V, --version      prints the version and exits\n"
	      "  -h, --help         prints this and exits\n"
	      "\n"
	      "SIGTERM ends it after its leases were released, SIGUSR1 at once, for the next one to go on with them.\n"
	      "Exit status: 0, 1 on failure, 2 on wrong usage, 78 on a wrong configuration.\n",
		stream);
}

void options_print_version(FILE *stream)
{
	fputs("tenured " TENURE_VERSION "\n", stream);
}
