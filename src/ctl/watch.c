// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#include "args.h"
#include "clock.h"
#include "dial.h"
#include "live.h"
#include "screen.h"
#include "show.h"

// How long a daemon that restarts may be away, unless the user says so.
#define AWAY_NS (10 * NS_PER_S)
#define RECONNECT_MS 100

struct watch {
	struct dial dial;
	const char *path;
	int count;
	char *const *components; // none: all
	enum ctl_format format;
	enum ctl_color color;
	int64_t away_ns;
};

// Names need no quoting, and nothing but names is printed.
static int show(const struct line *line, enum ctl_format format)
{
	char now[SHOW_SIZE];
	uint64_t term = 0;
	const char *component = line_text(line, "component"), *node = line_text(line, "node");
	if (line_u64(line, "term", &term) < 0 || !name_is_valid(component) || (*node && !name_is_valid(node)))
		return -EPROTO;
	show_date(now, clock_wall_ms());
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

static int ask(struct watch *watch)
{
	int error = watch->count == 0 ? dial_ask(&watch->dial, WIRE_WATCH, NULL) : 0;
	for (int i = 0; i < watch->count && error == 0; i++)
		error = dial_ask(&watch->dial, WIRE_WATCH, watch->components[i]);
	return error;
}

// 0 and back in the conversation, or -ECONNRESET where no daemon came back in time.
static int connect_again(struct watch *watch)
{
	int64_t until = clock_now_ns() + watch->away_ns;
	ctl_say("the daemon has ended; connecting again");
	dial_close(&watch->dial);
	while (dial_open(&watch->dial, watch->path) < 0) {
		if (clock_now_ns() >= until)
			return -ECONNRESET;
		poll(NULL, 0, RECONNECT_MS);
	}
	return ask(watch);
}

static int follow(struct watch *watch)
{
	int error = ask(watch);
	for (;;) {
		struct line line;
		enum wire_word word;
		if (error == 0)
			error = dial_wait(&watch->dial, DIAL_FOREVER, &word, &line);
		if (error == 0 && word == WIRE_ERROR)
			return dial_refused(NULL, &line);
		if (error == 0 && word == WIRE_LEADER)
			error = show(&line, watch->format);
		if (error == -ECONNRESET)
			error = connect_again(watch);
		if (error == -EIO)
			return CTL_NO;
		if (error < 0)
			return dial_failed(error);
	}
}

static int start(struct watch *watch)
{
	struct live_setup setup = {watch->path, (size_t)watch->count, watch->components, watch->color};
	if (dial_open_or_say(&watch->dial, watch->path) < 0)
		return CTL_NO_DAEMON;
	int result = watch->format == CTL_TEXT && screen_is_there() ? live_run(&setup, &watch->dial) : follow(watch);
	dial_close(&watch->dial);
	return result;
}

int ctl_watch(const struct ctl *ctl, int argc, char *argv[])
{
	static const struct option long_options[] = {
		{"color", optional_argument, NULL, 'c'}, {"reconnect", required_argument, NULL, 'r'}, {0}};
	struct watch watch = {.path = ctl->socket_path, .away_ns = AWAY_NS};
	int option;
	while ((option = args_next(argc, argv, ":o:", long_options)) != -1) {
		if (option == '?')
			return CTL_USAGE;
		if (option == 'c' && args_color(optarg, &watch.color) < 0)
			return ctl_misuse("watch: --color takes auto, always or never");
		if (option == 'r' && args_duration(optarg, &watch.away_ns) < 0)
			return ctl_misuse("watch: --reconnect takes a duration such as 500ms, 30s or 5m");
		if (option == 'o' && args_format(optarg, &watch.format) < 0)
			return ctl_misuse("watch: -o takes text or json");
	}
	watch.count = argc - optind;
	watch.components = argv + optind;
	if (args_components(watch.count, watch.components) != CTL_OK)
		return CTL_USAGE;
	return start(&watch);
}
