// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "args.h"
#include "clock.h"
#include "dial.h"

#define TIME_SIZE 32

// For people's eyes, and to tell one line of a log from the next.
static void format_time(char text[TIME_SIZE])
{
	int64_t ms = clock_wall_ms();
	time_t seconds = (time_t)(ms / 1000);
	struct tm utc;
	gmtime_r(&seconds, &utc);
	size_t size = strftime(text, TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + size, TIME_SIZE - size, ".%03dZ", (int)(ms % 1000));
}

// Names need no quoting, and nothing but names is printed.
static int show(const struct line *line, enum ctl_format format)
{
	char now[TIME_SIZE];
	uint64_t term = 0;
	const char *component = line_text(line, "component"), *node = line_text(line, "node");
	if (line_u64(line, "term", &term) < 0 || !name_is_valid(component) || (*node && !name_is_valid(node)))
		return -EPROTO;
	format_time(now);
	if (format == CTL_TEXT)
		printf("%s %s leader=%s term=%" PRIu64 "\n", now, component, *node ? node : "-", term);
	else if (*node)
		printf("{\"time\":\"%s\",\"component\":\"%s\",\"leader\":\"%s\",\"term\":%" PRIu64 "}\n", now,
			component, node, term);
	else
		printf("{\"time\":\"%s\",\"component\":\"%s\",\"leader\":null,\"term\":%" PRIu64 "}\n", now, component,
			term);
	return fflush(stdout) != 0 ? -EIO : 0;
}

static int follow(struct dial *dial, enum ctl_format format)
{
	for (;;) {
		struct line line;
		enum wire_word word;
		int error = dial_wait(dial, DIAL_FOREVER, &word, &line);
		if (error == 0 && word == WIRE_ERROR)
			return dial_refused(NULL, &line);
		if (error == 0 && word == WIRE_LEADER)
			error = show(&line, format);
		if (error == -EIO)
			return CTL_NO;
		if (error < 0)
			return dial_failed(error);
	}
}

static int ask(struct dial *dial, int count, char *const components[])
{
	int error = count == 0 ? dial_ask(dial, WIRE_WATCH, NULL) : 0;
	for (int i = 0; i < count && error == 0; i++)
		error = dial_ask(dial, WIRE_WATCH, components[i]);
	return error;
}

int ctl_watch(const struct ctl *ctl, int argc, char *argv[])
{
	struct dial dial;
	enum ctl_format format = CTL_TEXT;
	int option;
	while ((option = args_next(argc, argv, ":o:", (const struct option[]){{0}})) != -1) {
		if (option == '?')
			return CTL_USAGE;
		if (args_format(optarg, &format) < 0)
			return ctl_misuse("watch: -o takes text or json");
	}
	if (args_components(argc - optind, argv + optind) != CTL_OK)
		return CTL_USAGE;
	if (dial_open_or_say(&dial, ctl->socket_path) < 0)
		return CTL_NO_DAEMON;
	int error = ask(&dial, argc - optind, argv + optind);
	int result = error < 0 ? dial_failed(error) : follow(&dial, format);
	dial_close(&dial);
	return result;
}
