// SPDX-License-Identifier: Apache-2.0
// history: past terms, and why they ended (S8).
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "args.h"
#include "clock.h"
#include "dial.h"

#define COUNT_MAX 1000
#define TIME_SIZE 32

struct past {
	char component[NAME_BYTES + 1];
	char node[NAME_BYTES + 1];
	char reason[NAME_BYTES + 1];
	uint64_t term;
	int64_t from_ms, to_ms;
};

struct history {
	enum ctl_format format;
	const char *component; // NULL: all
	unsigned count;        // 0: as many as the daemon likes
	struct past terms[COUNT_MAX];
	size_t term_count;
};

static void format_time(int64_t ms, char text[static TIME_SIZE])
{
	struct tm utc;
	time_t seconds = (time_t)(ms / 1000);
	if (ms <= 0 || !gmtime_r(&seconds, &utc)) {
		snprintf(text, TIME_SIZE, "-");
		return;
	}
	size_t size = strftime(text, TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + size, TIME_SIZE - size, ".%03dZ", (int)(ms % 1000));
}

// What is no word would not be one in JSON or on a terminal either.
static bool take_name(const struct line *line, const char *key, bool needed, char ret[static NAME_BYTES + 1])
{
	const char *text = line_text(line, key);
	snprintf(ret, NAME_BYTES + 1, "%s", text);
	return name_is_valid(text) || (!needed && *text == '\0');
}

static int take_past(struct history *history, const struct line *line)
{
	if (history->term_count == COUNT_MAX)
		return -E2BIG;
	struct past *past = &history->terms[history->term_count];
	if (!take_name(line, "component", true, past->component) || !take_name(line, "node", true, past->node) ||
		!take_name(line, "reason", false, past->reason) || line_u64(line, "term", &past->term) < 0 ||
		line_i64(line, "from_ms", &past->from_ms) < 0 || line_i64(line, "to_ms", &past->to_ms) < 0)
		return -EPROTO;
	history->term_count++;
	return 0;
}

static int width_of(const struct history *history, size_t offset, int least)
{
	int width = least;
	for (size_t i = 0; i < history->term_count; i++) {
		int size = (int)strlen((const char *)&history->terms[i] + offset);
		width = size > width ? size : width;
	}
	return width;
}

static void print_table(const struct history *history)
{
	int component = width_of(history, offsetof(struct past, component), (int)strlen("COMPONENT"));
	int node = width_of(history, offsetof(struct past, node), (int)strlen("NODE"));
	if (history->term_count > 0)
		printf("%-*s  %16s  %-*s  %-24s  %-24s  %s\n", component, "COMPONENT", "TERM", node, "NODE", "FROM",
			"TO", "REASON");
	for (size_t i = 0; i < history->term_count; i++) {
		const struct past *past = &history->terms[i];
		char from[TIME_SIZE], to[TIME_SIZE];
		format_time(past->from_ms, from);
		format_time(past->to_ms, to);
		printf("%-*s  %16" PRIu64 "  %-*s  %-24s  %-24s  %s\n", component, past->component, past->term, node,
			past->node, from, to, past->reason[0] ? past->reason : "-");
	}
}

static void print_json(const struct history *history)
{
	printf("{\"terms\":[");
	for (size_t i = 0; i < history->term_count; i++) {
		const struct past *past = &history->terms[i];
		printf("%s\n{\"component\":\"%s\",\"term\":%" PRIu64 ",\"node\":\"%s\",\"from_ms\":%" PRId64,
			i > 0 ? "," : "", past->component, past->term, past->node, past->from_ms);
		if (past->to_ms > 0)
			printf(",\"to_ms\":%" PRId64, past->to_ms);
		else
			printf(",\"to_ms\":null");
		if (past->reason[0])
			printf(",\"reason\":\"%s\"}", past->reason);
		else
			printf(",\"reason\":null}");
	}
	printf("\n]}\n");
}

static int show(const struct history *history)
{
	if (history->format == CTL_JSON)
		print_json(history);
	else
		print_table(history);
	return fflush(stdout) != 0 || ferror(stdout) ? CTL_NO : CTL_OK;
}

static int ask(struct dial *dial, const struct history *history)
{
	struct line_writer writer;
	line_begin(&writer, &dial->link.output, wire_word_name(WIRE_HISTORY));
	if (history->component)
		line_field(&writer, "component", history->component);
	if (history->count > 0)
		line_field_u64(&writer, "count", history->count);
	return line_end(&writer);
}

static int fetch(struct dial *dial, struct history *history)
{
	int64_t deadline = clock_now_ns() + DIAL_OPERATION_NS;
	struct line line;
	enum wire_word word;
	int error = ask(dial, history);
	while (error == 0) {
		error = dial_wait(dial, deadline, &word, &line);
		if (error == 0 && word == WIRE_OK)
			return show(history);
		if (error == 0 && word == WIRE_ERROR)
			return dial_refused(history->component, &line);
		if (error == 0)
			error = word == WIRE_PAST ? take_past(history, &line) : -EPROTO;
	}
	return dial_failed(error);
}

static bool take_count(const char *text, unsigned *ret)
{
	char *end;
	long count = strtol(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || count < 1 || count > COUNT_MAX)
		return false;
	*ret = (unsigned)count;
	return true;
}

static int take_options(struct history *history, int argc, char *argv[])
{
	int option;
	while ((option = args_next(argc, argv, ":o:n:", (const struct option[]){{0}})) != -1) {
		if (option == '?')
			return CTL_USAGE;
		if (option == 'n' && !take_count(optarg, &history->count))
			return ctl_misuse("history: -n takes a number from 1 to %d", COUNT_MAX);
		if (option == 'o' && args_format(optarg, &history->format) < 0)
			return ctl_misuse("history: -o takes text or json");
	}
	if (argc - optind > 1)
		return ctl_misuse("history takes one COMPONENT at most");
	if (optind < argc)
		history->component = argv[optind];
	return args_components(argc - optind, argv + optind);
}

int ctl_history(const struct ctl *ctl, int argc, char *argv[])
{
	static struct history history;
	struct dial dial;
	history = (struct history){.format = CTL_TEXT};
	if (take_options(&history, argc, argv) != CTL_OK)
		return CTL_USAGE;
	if (dial_open_or_say(&dial, ctl->socket_path) < 0)
		return CTL_NO_DAEMON;
	int status = fetch(&dial, &history);
	dial_close(&dial);
	return status;
}
