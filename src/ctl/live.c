// SPDX-License-Identifier: Apache-2.0
// One loop over the connection, the keyboard and the signals. Every second, and at once where a leader changed, the
// daemon is asked for the status: a round. A daemon that goes away is connected to again.
#include "live.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "args.h"
#include "clock.h"
#include "components.h"
#include "screen.h"
#include "show.h"

#define ROUND_NS NS_PER_S
// Between rounds where leaders change all the time.
#define PAUSE_NS (50 * NS_PER_MS)
#define RECONNECT_NS (200 * NS_PER_MS)
#define NOTICE_SIZE 512
#define RED "\033[31m"
#define PLAIN "\033[0m"
#define GO_ON (-1)

struct live {
	const struct live_setup *setup;
	struct dial *dial;
	struct screen screen;
	int signal_fd;
	bool colors;
	struct components *shown; // NULL: nothing is known
	struct components *next;  // what the round has brought so far
	size_t unanswered;        // requests
	int64_t began_at;         // the last round
	int64_t due_at;           // the next round, or the next attempt to connect
	char notice[NOTICE_SIZE]; // what is wrong; "": nothing
	char refusal[NOTICE_SIZE];
	char read_at[SHOW_SIZE]; // when `shown` was read, for people
	int ended_by;            // a signal; 0: none
};

// ---- what is on the screen ----

static void put_heading(const struct live *live, FILE *out)
{
	const struct components *shown = live->shown;
	char text[NOTICE_SIZE];
	char leaderless[SHOW_SIZE] = "";
	if (shown && shown->leaderless > 0)
		snprintf(leaderless, sizeof leaderless, ", %u without a leader", shown->leaderless);
	if (shown)
		snprintf(text, sizeof text, "%s  %s  %u component%s%s  (q quits)", live->dial->node, live->read_at,
			shown->count, shown->count == 1 ? "" : "s", leaderless);
	else
		snprintf(text, sizeof text, "%s  (q quits)", live->setup->socket_path);
	fprintf(out, "%.*s\n", (int)live->screen.width, text);
}

static void put_notice(const struct live *live, FILE *out)
{
	const char *begin = live->colors ? RED : "", *end = live->colors ? PLAIN : "";
	if (live->notice[0] != '\0')
		fprintf(out, "%s%.*s%s\n", begin, (int)live->screen.width, live->notice, end);
}

static int draw(const struct live *live)
{
	char *text = NULL;
	size_t size;
	int error = 0;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return -ENOMEM;
	put_heading(live, out);
	put_notice(live, out);
	if (live->shown)
		error = components_print(live->shown, out, live->screen.width);
	if (fclose(out) != 0)
		error = -ENOMEM;
	if (error == 0)
		error = screen_show(&live->screen, text);
	free(text);
	return error;
}

static void set_notice(struct live *live, const char *text, const char *detail)
{
	snprintf(live->notice, sizeof live->notice, "%s%s", text, detail);
	show_plainly(live->notice);
}

// ---- the daemon ----

static int lose(struct live *live, const char *why)
{
	dial_close(live->dial);
	components_free(live->next);
	components_free(live->shown);
	live->next = live->shown = NULL;
	live->unanswered = 0;
	live->due_at = clock_now_ns() + RECONNECT_NS;
	set_notice(live, why, "; connecting again");
	return draw(live);
}

static int ask(struct live *live, enum wire_word word)
{
	size_t count = live->setup->count;
	int error = count == 0 ? dial_ask(live->dial, word, NULL) : 0;
	for (size_t i = 0; i < count && error == 0; i++)
		error = dial_ask(live->dial, word, live->setup->components[i]);
	live->unanswered += count == 0 ? 1 : count;
	return error;
}

static int begin_round(struct live *live)
{
	live->began_at = clock_now_ns();
	live->due_at = live->began_at + ROUND_NS;
	int error = components_new(&live->next, CTL_TEXT, live->colors);
	return error < 0 ? error : ask(live, WIRE_STATUS);
}

static int begin(struct live *live)
{
	int error = ask(live, WIRE_WATCH);
	return error < 0 ? error : begin_round(live);
}

static int connect_again(struct live *live)
{
	live->due_at = clock_now_ns() + RECONNECT_NS;
	if (link_connect(&live->dial->link, live->setup->socket_path) < 0)
		return 0;
	int error = dial_greet(live->dial);
	live->unanswered = 1;
	return error < 0 ? error : begin(live);
}

static int end_round(struct live *live)
{
	components_free(live->shown);
	live->shown = live->next;
	live->next = NULL;
	show_date(live->read_at, clock_wall_ms());
	return draw(live);
}

static int take_row(struct live *live, const struct line *line)
{
	const char *error = line_text(line, "error");
	if (!live->next)
		return -EPROTO;
	if (live->next->count == 0)
		live->notice[0] = '\0';
	if (*error != '\0')
		set_notice(live, "the store: ", error);
	return components_add(live->next, line);
}

static int take_line(struct live *live, enum wire_word word, const struct line *line)
{
	if (word == WIRE_LEADER) {
		live->due_at = live->began_at + PAUSE_NS;
		return 0;
	}
	if (word == WIRE_ROW)
		return take_row(live, line);
	if (word == WIRE_ERROR) {
		snprintf(live->refusal, sizeof live->refusal, "refused (%s): %s", line_text(line, "code"),
			line_text(line, "message"));
		return -EREMOTEIO;
	}
	if (word != WIRE_OK || live->unanswered == 0)
		return -EPROTO;
	if (*line_text(line, "node") != '\0') // the answer to hello
		snprintf(live->dial->node, sizeof live->dial->node, "%s", line_text(line, "node"));
	live->unanswered--;
	return live->unanswered == 0 ? end_round(live) : 0;
}

static int take_lines(struct live *live)
{
	for (;;) {
		struct line line;
		enum wire_word word;
		int found = link_next(&live->dial->link, &line);
		if (found > 0)
			found = wire_word_find(line.word, &word) < 0 ? -EPROTO : take_line(live, word, &line);
		else if (found == 0 && (found = link_receive(&live->dial->link)) == 0)
			return 0;
		if (found == -ECONNRESET)
			return lose(live, "the daemon has ended");
		if (found < 0)
			return found;
	}
}

// ---- the loop ----

static int64_t next_deadline(const struct live *live)
{
	return live->unanswered > 0 ? live->began_at + DIAL_ANSWER_NS : live->due_at;
}

static int do_what_is_due(struct live *live)
{
	if (clock_now_ns() < next_deadline(live))
		return 0;
	if (live->unanswered > 0)
		return lose(live, "the daemon does not answer");
	return live->dial->link.fd < 0 ? connect_again(live) : begin_round(live);
}

// 0: the user wants to leave.
static int take_keys(struct live *live)
{
	char keys[64];
	ssize_t size = read(STDIN_FILENO, keys, sizeof keys);
	if (size <= 0)
		live->screen.has_keys = false;
	for (ssize_t i = 0; i < size; i++)
		if (keys[i] == 'q' || keys[i] == 'Q')
			return CTL_OK;
	return GO_ON;
}

static int take_signal(struct live *live)
{
	struct signalfd_siginfo info;
	if (read(live->signal_fd, &info, sizeof info) != sizeof info)
		return GO_ON;
	switch (info.ssi_signo) {
	case SIGWINCH:
		break;
	case SIGTSTP:
		screen_leave(&live->screen);
		raise(SIGSTOP);
		return GO_ON;
	case SIGCONT:
		screen_enter(&live->screen);
		break;
	default:
		live->ended_by = (int)info.ssi_signo;
		return CTL_OK;
	}
	screen_measure(&live->screen);
	return draw(live) < 0 ? CTL_NO : GO_ON;
}

static int say_failure(struct live *live, int error)
{
	screen_leave(&live->screen);
	if (error == -EIO)
		return CTL_NO;
	if (error != -EREMOTEIO)
		return dial_failed(error);
	ctl_say("%s", live->refusal);
	return CTL_NO;
}

// GO_ON, or the exit status.
static int step(struct live *live)
{
	struct pollfd fds[] = {{.fd = live->signal_fd, .events = POLLIN},
		{.fd = live->screen.has_keys ? STDIN_FILENO : -1, .events = POLLIN},
		{.fd = live->dial->link.fd, .events = POLLIN}};
	int error = do_what_is_due(live);
	fds[2].fd = live->dial->link.fd;
	if (fds[2].fd >= 0 && link_flush(&live->dial->link) > 0)
		fds[2].events |= POLLOUT;
	int64_t left = next_deadline(live) - clock_now_ns();
	struct timespec timeout = {.tv_sec = left > 0 ? left / NS_PER_S : 0, .tv_nsec = left > 0 ? left % NS_PER_S : 0};
	if (error == 0 && ppoll(fds, COUNT_OF(fds), &timeout, NULL) < 0 && errno != EINTR)
		error = -errno;
	if (error == 0 && fds[2].revents)
		error = take_lines(live);
	if (error < 0)
		return say_failure(live, error);
	int result = fds[0].revents ? take_signal(live) : GO_ON;
	return result == GO_ON && fds[1].revents ? take_keys(live) : result;
}

static int take_over_signals(struct live *live)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT};
	sigset_t signals;
	sigemptyset(&signals);
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		sigaddset(&signals, numbers[i]);
	if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
		return -errno;
	live->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return live->signal_fd < 0 ? -errno : 0;
}

// The way it would have ended without us.
static void end_by(int signal_number)
{
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, signal_number);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
	sigprocmask(SIG_UNBLOCK, &signals, NULL);
}

int live_run(const struct live_setup *setup, struct dial *dial)
{
	struct live live = {.setup = setup, .dial = dial, .colors = screen_has_colors(setup->color)};
	int error = take_over_signals(&live);
	if (error == 0)
		error = begin(&live);
	if (error < 0)
		return dial_failed(error);
	screen_init(&live.screen);
	screen_enter(&live.screen);
	int result;
	do
		result = step(&live);
	while (result == GO_ON);
	screen_leave(&live.screen);
	components_free(live.shown);
	components_free(live.next);
	close(live.signal_fd);
	if (live.ended_by != 0)
		end_by(live.ended_by);
	return result;
}
