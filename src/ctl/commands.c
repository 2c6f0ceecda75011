// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>

#include "args.h"
#include "ctl.h"
#include "link.h"

static const struct {
	const char *name;
	ctl_command_fn *fn;
} commands[] = {
	{"status", ctl_status},
	{"watch", ctl_watch},
	{"check", ctl_check},
	{"wait", ctl_wait},
	{"run", ctl_run},
	{"history", ctl_history},
	{"resign", ctl_resign},
	{"transfer", ctl_transfer},
	{"pause", ctl_pause},
	{"resume", ctl_resume},
	{"reload", ctl_reload},
	{"init", ctl_init},
};

static const char help[] =
	"usage: tenurectl [--socket PATH] COMMAND\n"
	"\n"
	"  status [-o json] [--color=WHEN] [COMPONENT...]\n"
	"                                            who leads what, seen from here\n"
	"  watch [-o json] [--color=WHEN] [--reconnect D] [COMPONENT...]\n"
	"                                            the same as a table that follows; elsewhere than on a terminal,\n"
	"                                            or as JSON, a line for every change of leader\n"
	"  check [--term N] [-q] COMPONENT           exit status 0: a term is valid here; 1: none; 3: no daemon\n"
	"  wait [--for leader|standby] [--timeout D] COMPONENT\n"
	"                                            until this node leads or stands by; 124: time is up;\n"
	"                                            3: permission denied\n"
	"  run [--notify] [--once] [--stop-signal S] [--watchdog D] COMPONENT -- COMMAND...\n"
	"                                            runs COMMAND while this node leads; 127: there is none,\n"
	"                                            126: it cannot be executed; 3: permission denied\n"
	"  history [-n COUNT] [-o json] [COMPONENT]  past terms, and why they ended\n"
	"  resign [--cooldown D] COMPONENT           another node is to lead, whoever leads now\n"
	"  transfer COMPONENT NODE                   NODE is to lead\n"
	"  pause                                     leaders stay, nobody is elected, until resume\n"
	"  resume                                    the fleet elects again\n"
	"  reload                                    the daemon reads its configuration again\n"
	"  init -c FILE [--print]                    creates or upgrades the database schema\n"
	"  help [COMMAND]                            this text, or what it says of COMMAND\n"
	"\n"
	"  --socket PATH   the daemon's socket; else $TENURE_SOCKET, else /run/tenure/tenured.sock\n"
	"  --version       prints the version\n"
	"\n"
	"Durations (D) are a number with ms, s, m, h or d. WHEN is auto (on a terminal), always or never.\n"
	"\n"
	"examples:\n"
	"  tenurectl run engine -- /usr/bin/engine --verbose\n"
	"  tenurectl check -q engine && run-the-report\n"
	"  tenurectl wait --timeout 30s engine\n"
	"  tenurectl transfer engine host-b\n"
	"  tenurectl status -o json\n";

static int show_help(void)
{
	fputs(help, stdout);
	return fflush(stdout) == 0 ? CTL_OK : CTL_NO;
}

// Its lines of all the help: the first one begins with its name, and those that go on are farther in.
static int show_help_of(const char *command)
{
	char begin[32];
	snprintf(begin, sizeof begin, "\n  %s ", command);
	const char *line = strstr(help, begin) + 1;
	printf("usage: tenurectl [--socket PATH] COMMAND, as tenurectl(1) says:\n\n");
	do {
		size_t size = strcspn(line, "\n") + 1;
		printf("%.*s", (int)size, line);
		line += size;
	} while (strncmp(line, "      ", 6) == 0);
	return fflush(stdout) == 0 ? CTL_OK : CTL_NO;
}

static bool asks_for_help(const char *word)
{
	return word && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0);
}

static int run_command(const struct ctl *ctl, int argc, char *argv[], bool helps)
{
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		if (strcmp(argv[0], commands[i].name) != 0)
			continue;
		if (helps || asks_for_help(argv[1]))
			return show_help_of(argv[0]);
		optind = 0; // glibc: getopt begins anew
		return commands[i].fn(ctl, argc, argv);
	}
	return ctl_misuse("unknown command \"%s\"", argv[0]);
}

int ctl_main(int argc, char *argv[])
{
	struct ctl ctl = {.socket_path = link_default_path()};
	int option;
	opterr = 0;
	optind = 0;
	while ((option = args_next(argc, argv, "+:hV", args_global_options)) != -1) {
		if (option == '?')
			return CTL_USAGE;
		if (option == 'h')
			return show_help();
		if (option == 'V') {
			printf("tenurectl %s\n", TENURE_VERSION);
			return CTL_OK;
		}
		ctl.socket_path = optarg;
	}
	if (optind >= argc)
		return ctl_misuse("no command");
	bool helps = strcmp(argv[optind], "help") == 0;
	if (helps && optind + 1 == argc)
		return show_help();
	optind += helps;
	return run_command(&ctl, argc - optind, argv + optind, helps);
}
