// SPDX-License-Identifier: Apache-2.0
// check: is the term valid here; wait: until this node leads, or stands by.
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "args.h"
#include "clock.h"
#include "dial.h"

// `wait` is woken by every change of leader; a worker that joins changes none, so it looks by itself as well.
#define LOOK_AGAIN_NS (200 * NS_PER_MS)

static int parse_term(const char *text, uint64_t *ret)
{
	char *end;
	errno = 0;
	uint64_t term = strtoull(text, &end, 10);
	if (*text < '1' || *text > '9' || *end != '\0' || errno != 0)
		return -EINVAL;
	*ret = term;
	return 0;
}

static int answer(const char *component, const struct line *line, enum wire_word word, bool quiet)
{
	uint64_t term = 0;
	int64_t ttl_ms = 0;
	if (word == WIRE_ERROR && quiet)
		return CTL_NO;
	if (word == WIRE_ERROR)
		return dial_refused(component, line);
	if (word != WIRE_OK)
		return dial_failed(-EPROTO);
	bool valid = strcmp(line_text(line, "valid"), "yes") == 0;
	if (valid && (line_u64(line, "term", &term) < 0 || line_i64(line, "ttl_ms", &ttl_ms) < 0))
		return dial_failed(-EPROTO);
	if (!quiet && valid)
		printf("valid term=%" PRIu64 " ttl_ms=%" PRId64 "\n", term, ttl_ms);
	else if (!quiet)
		printf("not valid\n");
	return valid ? CTL_OK : CTL_NO;
}

static int check(struct dial *dial, const char *component, uint64_t term, bool quiet)
{
	struct line_writer writer;
	struct line line;
	enum wire_word word;
	line_begin(&writer, &dial->link.output, wire_word_name(WIRE_CHECK));
	line_field(&writer, "component", component);
	if (term != 0)
		line_field_u64(&writer, "term", term);
	int error = line_end(&writer);
	if (error == 0)
		error = dial_wait(dial, clock_now_ns() + DIAL_ANSWER_NS, &word, &line);
	if (error != 0)
		return quiet ? CTL_NO_DAEMON : dial_failed(error);
	return answer(component, &line, word, quiet);
}

int ctl_check(const struct ctl *ctl, int argc, char *argv[])
{
	static const struct option long_options[] = {
		{"term", required_argument, NULL, 't'}, {"quiet", no_argument, NULL, 'q'}, {0}};
	struct dial dial;
	uint64_t term = 0;
	bool quiet = false;
	int option;
	while ((option = args_next(argc, argv, ":q", long_options)) != -1) {
		if (option == '?')
			return CTL_USAGE;
		if (option == 'q')
			quiet = true;
		else if (parse_term(optarg, &term) < 0)
			return ctl_misuse("check: --term takes a positive number");
	}
	if (argc - optind != 1)
		return ctl_misuse("check takes one COMPONENT");
	if (args_components(1, argv + optind) != CTL_OK)
		return CTL_USAGE;
	int error = quiet ? dial_open(&dial, ctl->socket_path) : dial_open_or_say(&dial, ctl->socket_path);
	if (error < 0)
		return CTL_NO_DAEMON;
	int result = check(&dial, argv[optind], term, quiet);
	dial_close(&dial);
	return result;
}

struct wait {
	struct dial dial;
	const char *component;
	const char *role;
	int64_t deadline;     // or DIAL_FOREVER
	bool connected;       // once
	bool said;            // that there is no daemon
	int64_t denied_since; // 0: it is not, or there was a connection
};

static bool is_over(const struct wait *wait)
{
	return clock_now_ns() >= wait->deadline;
}

// 1: the role is there; 0: not yet; or -errno, -EREMOTEIO where the daemon refused.
static int look(struct wait *wait, int64_t until)
{
	int found = 0;
	int error = dial_ask(&wait->dial, WIRE_STATUS, wait->component);
	while (error == 0) {
		struct line line;
		enum wire_word word;
		error = dial_wait(&wait->dial, until, &word, &line);
		if (error == 0 && word == WIRE_ERROR) {
			dial_refused(wait->component, &line);
			return -EREMOTEIO;
		}
		if (error == 0 && word == WIRE_OK)
			return found;
		if (error == 0 && word == WIRE_ROW && strcmp(line_text(&line, "role"), wait->role) == 0)
			found = 1;
	}
	return error;
}

// Until the next change, or for LOOK_AGAIN_NS.
static int doze(struct wait *wait)
{
	struct line line;
	enum wire_word word;
	int64_t until = clock_now_ns() + LOOK_AGAIN_NS;
	int error = dial_wait(&wait->dial, until < wait->deadline ? until : wait->deadline, &word, &line);
	return error == -ETIMEDOUT ? 0 : error;
}

// One connection: 1, or -errno where it ended, the time among the reasons.
static int wait_on_connection(struct wait *wait)
{
	struct line line;
	enum wire_word word;
	int64_t until = clock_now_ns() + DIAL_ANSWER_NS;
	until = until < wait->deadline ? until : wait->deadline;
	int error = dial_ask(&wait->dial, WIRE_WATCH, wait->component);
	if (error == 0)
		error = dial_wait(&wait->dial, until, &word, &line);
	if (error == 0 && word == WIRE_ERROR) {
		dial_refused(wait->component, &line);
		return -EREMOTEIO;
	}
	while (error == 0) {
		until = clock_now_ns() + DIAL_ANSWER_NS;
		error = look(wait, until < wait->deadline ? until : wait->deadline);
		if (error == 0)
			error = is_over(wait) ? -ETIMEDOUT : doze(wait);
	}
	return error;
}

// 1, or -errno.
static int try(struct wait *wait, const char *path)
{
	int error = dial_open(&wait->dial, path);
	if (error < 0)
		return error;
	wait->connected = true;
	wait->denied_since = 0;
	error = wait_on_connection(wait);
	dial_close(&wait->dial);
	return error;
}

static void say_waiting(struct wait *wait, const char *path, int error)
{
	if (wait->said || wait->denied_since != 0)
		return;
	ctl_say("%s: %s; waiting for the daemon", path, strerror(-error));
	wait->said = true;
}

// A daemon that is not there yet, or restarts, is waited for as well.
static int wait_for_role(struct wait *wait, const char *path)
{
	while (!is_over(wait)) {
		int error = try(wait, path);
		if (error > 0)
			return CTL_OK;
		if (error == -EREMOTEIO)
			return CTL_NO;
		if (!wait->connected && dial_is_denied(error, &wait->denied_since))
			return dial_denied(path);
		if (is_over(wait))
			break;
		say_waiting(wait, path, error);
		poll(NULL, 0, (int)(LOOK_AGAIN_NS / NS_PER_MS));
	}
	if (wait->denied_since != 0)
		return dial_denied(path);
	ctl_say("time is up: %s is not %s here", wait->component, wait->role);
	return CTL_TIMEOUT;
}

int ctl_wait(const struct ctl *ctl, int argc, char *argv[])
{
	static const struct option long_options[] = {
		{"for", required_argument, NULL, 'f'}, {"timeout", required_argument, NULL, 't'}, {0}};
	struct wait wait = {.role = "leader", .deadline = DIAL_FOREVER};
	int option;
	while ((option = args_next(argc, argv, ":", long_options)) != -1) {
		int64_t timeout;
		if (option == '?')
			return CTL_USAGE;
		if (option == 'f')
			wait.role = optarg;
		else if (args_duration(optarg, &timeout) < 0)
			return ctl_misuse("wait: --timeout takes a duration such as 500ms, 30s or 5m");
		else
			wait.deadline = clock_now_ns() + timeout;
	}
	if (strcmp(wait.role, "leader") != 0 && strcmp(wait.role, "standby") != 0)
		return ctl_misuse("wait: --for takes leader or standby");
	if (argc - optind != 1)
		return ctl_misuse("wait takes one COMPONENT");
	if (args_components(1, argv + optind) != CTL_OK)
		return CTL_USAGE;
	wait.component = argv[optind];
	return wait_for_role(&wait, ctl->socket_path);
}
