// SPDX-License-Identifier: Apache-2.0
// The schema is the store's, and tenurectl knows no store: the daemon's binary does it.
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "args.h"
#include "beside.h"

#define DAEMON "tenured"

// The one beside this program, or in the directory where both were installed, so that both are of one version.
static int run_daemon(char *config, bool print)
{
	char path[PATH_MAX];
	char *arguments[] = {(char[]){DAEMON}, (char[]){"--init-schema"}, (char[]){"-c"}, config,
		print ? (char[]){"--print"} : NULL, NULL};
	if (path_beside(DAEMON, path) == 0 || path_beside("../sbin/" DAEMON, path) == 0)
		execv(path, arguments);
	execvp(DAEMON, arguments);
	int error = errno;
	ctl_say("%s: %s; it has to be beside tenurectl or in PATH", DAEMON, strerror(error));
	return error == ENOENT ? CTL_NOT_FOUND : CTL_CANNOT_EXECUTE;
}

int ctl_init(const struct ctl *ctl, int argc, char *argv[])
{
	static const struct option long_options[] = {
		{"config", required_argument, NULL, 'c'}, {"print", no_argument, NULL, 'p'}, {0}};
	char *config = NULL;
	bool print = false;
	int option;
	(void)ctl;
	while ((option = args_next(argc, argv, ":c:", long_options)) != -1) {
		if (option == '?')
			return CTL_USAGE;
		if (option == 'c')
			config = optarg;
		else
			print = true;
	}
	if (!config)
		return ctl_misuse("init needs -c FILE, the daemon's configuration");
	if (optind < argc)
		return ctl_misuse("init takes no operand: %s", argv[optind]);
	return run_daemon(config, print);
}
