// SPDX-License-Identifier: Apache-2.0
#include "dial.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "args.h"
#include "clock.h"

// While the daemon's queue of connections is full.
#define CONNECT_AGAIN_MS 10

static int connect_patiently(struct dial *dial, const char *path)
{
	int64_t until = clock_now_ns() + DIAL_ANSWER_NS;
	for (;;) {
		int error = link_connect(&dial->link, path);
		if (error != -EAGAIN || clock_now_ns() >= until)
			return error;
		poll(NULL, 0, CONNECT_AGAIN_MS);
	}
}

int dial_greet(struct dial *dial)
{
	struct line_writer writer;
	line_begin(&writer, &dial->link.output, wire_word_name(WIRE_HELLO));
	line_field_u64(&writer, "version", WIRE_VERSION);
	return line_end(&writer);
}

static int be_greeted(struct dial *dial)
{
	struct line line;
	enum wire_word word;
	int error = dial_greet(dial);
	if (error < 0)
		return error;
	error = dial_wait(dial, clock_now_ns() + DIAL_ANSWER_NS, &word, &line);
	if (error < 0)
		return error;
	if (word != WIRE_OK)
		return -EPROTO;
	snprintf(dial->node, sizeof dial->node, "%s", line_text(&line, "node"));
	return 0;
}

int dial_open(struct dial *dial, const char *path)
{
	link_init(&dial->link);
	int error = connect_patiently(dial, path);
	if (error == 0)
		error = be_greeted(dial);
	if (error < 0)
		dial_close(dial);
	return error;
}

int dial_open_or_say(struct dial *dial, const char *path)
{
	int error = dial_open(dial, path);
	if (error == -ENOENT || error == -ECONNREFUSED)
		ctl_say("no daemon answers at %s; is tenured running, and is this its --socket?", path);
	else if (error == -EACCES)
		dial_denied(path);
	else if (error == -EPROTO)
		ctl_say("%s: what answers there does not speak version %d", path, WIRE_VERSION);
	else if (error < 0)
		ctl_say("%s: %s", path, strerror(-error));
	return error;
}

bool dial_is_denied(int error, int64_t *since)
{
	int64_t now = clock_now_ns();
	if (error != -EACCES)
		*since = 0;
	else if (*since == 0)
		*since = now;
	return error == -EACCES && now - *since >= DIAL_DENIED_NS;
}

int dial_denied(const char *path)
{
	ctl_say("%s: permission denied; does this user belong to the socket's group?", path);
	return CTL_NO_DAEMON;
}

void dial_close(struct dial *dial)
{
	link_close(&dial->link);
}

int dial_ask(struct dial *dial, enum wire_word word, const char *component)
{
	struct line_writer writer;
	line_begin(&writer, &dial->link.output, wire_word_name(word));
	if (component)
		line_field(&writer, "component", component);
	return line_end(&writer);
}

// 0: the connection may have something to read or room to write.
static int wait_for_link(const struct dial *dial, bool sends, int64_t deadline)
{
	struct pollfd fds[] = {{.fd = dial->link.fd, .events = (short)(POLLIN | (sends ? POLLOUT : 0))}};
	int64_t left = deadline == DIAL_FOREVER ? INT32_MAX * NS_PER_MS : deadline - clock_now_ns();
	if (left <= 0)
		return -ETIMEDOUT;
	struct timespec timeout = {.tv_sec = left / NS_PER_S, .tv_nsec = left % NS_PER_S};
	int ready = ppoll(fds, 1, &timeout, NULL);
	return ready < 0 && errno != EINTR ? -errno : 0;
}

int dial_wait(struct dial *dial, int64_t deadline, enum wire_word *ret_word, struct line *ret)
{
	for (;;) {
		bool sends = link_flush(&dial->link) > 0;
		int found = link_next(&dial->link, ret);
		if (found > 0)
			return wire_word_find(ret->word, ret_word) < 0 ? -EPROTO : 0;
		if (found == 0)
			found = link_receive(&dial->link);
		if (found == 0)
			found = wait_for_link(dial, sends, deadline);
		if (found < 0)
			return found;
	}
}

int dial_failed(int error)
{
	if (error == -ETIMEDOUT)
		ctl_say("the daemon does not answer");
	else if (error == -ECONNRESET)
		ctl_say("the daemon has ended");
	else
		ctl_say("the daemon's answer cannot be read: %s", strerror(-error));
	return CTL_NO_DAEMON;
}

int dial_refused(const char *component, const struct line *line)
{
	const char *message = line_text(line, "message");
	ctl_say("%s%srefused (%s)%s%s", component ? component : "", component ? ": " : "", line_text(line, "code"),
		*message ? ": " : "", message);
	return CTL_NO;
}
