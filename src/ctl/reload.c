// SPDX-License-Identifier: Apache-2.0
// reload: the daemon reads its configuration again.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "args.h"
#include "clock.h"
#include "dial.h"

static int report(const struct line *line, enum wire_word word)
{
	uint64_t added, removed, changed;
	const char *restart = line_text(line, "restart");
	if (word == WIRE_ERROR)
		return dial_refused(NULL, line);
	if (word != WIRE_OK || line_u64(line, "added", &added) < 0 || line_u64(line, "removed", &removed) < 0 ||
		line_u64(line, "changed", &changed) < 0)
		return dial_failed(-EPROTO);
	printf("components: %" PRIu64 " added, %" PRIu64 " removed, %" PRIu64 " changed\n", added, removed, changed);
	if (*restart != '\0')
		ctl_say("not applied before a restart: %s", restart);
	return CTL_OK;
}

int ctl_reload(const struct ctl *ctl, int argc, char *argv[])
{
	static const struct option long_options[] = {{0}};
	struct dial dial;
	struct line line;
	enum wire_word word;
	if (args_next(argc, argv, ":", long_options) != -1)
		return CTL_USAGE;
	if (optind < argc)
		return ctl_misuse("reload takes no operand: %s", argv[optind]);
	if (dial_open_or_say(&dial, ctl->socket_path) < 0)
		return CTL_NO_DAEMON;
	int error = dial_ask(&dial, WIRE_RELOAD, NULL);
	if (error == 0)
		error = dial_wait(&dial, clock_now_ns() + DIAL_ANSWER_NS, &word, &line);
	int status = error != 0 ? dial_failed(error) : report(&line, word);
	dial_close(&dial);
	return status;
}
