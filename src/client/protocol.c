// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "handle.h"

// How much further away than its ttl_ms a deadline may seem: the ttl is rounded down to a millisecond.
#define TTL_ROUNDING_NS (2 * NS_PER_MS)

static void watch(struct tenure *t, int operation, bool output)
{
	struct epoll_event event = {.events = EPOLLIN | (output ? EPOLLOUT : 0)};
	// The socket is open and known to the set, or not, by what came before.
	(void)epoll_ctl(t->epoll_fd, operation, t->link.fd, &event);
	t->watching_output = output;
}

static void flush(struct tenure *t)
{
	bool left = link_flush(&t->link) > 0;
	if (left != t->watching_output)
		watch(t, EPOLL_CTL_MOD, left);
}

static void begin(struct tenure *t, struct line_writer *writer, enum wire_word word)
{
	line_begin(writer, &t->link.output, wire_word_name(word));
	if (word == WIRE_HELLO)
		line_field_u64(writer, "version", WIRE_VERSION);
	else
		line_field(writer, "component", t->component);
}

static int end(struct tenure *t, struct line_writer *writer, enum wire_word word)
{
	int error = line_end(writer);
	if (error < 0)
		return error;
	t->asked[t->asked_count++] = word;
	flush(t);
	return 0;
}

static int say_hello(struct tenure *t)
{
	struct line_writer writer;
	begin(t, &writer, WIRE_HELLO);
	return end(t, &writer, WIRE_HELLO);
}

int protocol_say(struct tenure *t, enum wire_word word)
{
	struct line_writer writer;
	if (t->asked_count == HANDLE_ASKED)
		return -ENOBUFS;
	begin(t, &writer, word);
	if (word != WIRE_LEAVE)
		line_field_u64(&writer, "term", t->work);
	return end(t, &writer, word);
}

int protocol_alive(struct tenure *t, const char *message)
{
	struct line_writer writer;
	begin(t, &writer, WIRE_ALIVE);
	line_field_u64(&writer, "term", t->work);
	if (message)
		line_field(&writer, "message", message);
	return end(t, &writer, WIRE_ALIVE);
}

int protocol_yield(struct tenure *t, int64_t cooldown_ms, const char *reason)
{
	struct line_writer writer;
	if (t->asked_count == HANDLE_ASKED)
		return -ENOBUFS;
	begin(t, &writer, WIRE_YIELD);
	line_field_u64(&writer, "term", t->work);
	if (cooldown_ms >= 0)
		line_field_i64(&writer, "cooldown_ms", cooldown_ms);
	if (reason)
		line_field(&writer, "reason", reason);
	return end(t, &writer, WIRE_YIELD);
}

int protocol_join(struct tenure *t)
{
	struct line_writer writer;
	if (t->asked_count == HANDLE_ASKED)
		return -ENOBUFS;
	begin(t, &writer, WIRE_JOIN);
	if (t->joined_slot)
		line_field(&writer, "extend", "no");
	if (t->heartbeat_ms > 0)
		line_field_i64(&writer, "heartbeat_ms", t->heartbeat_ms);
	if (t->work != 0)
		line_field_u64(&writer, "term", t->work);
	t->asked_term = t->work;
	t->stage = STAGE_JOINING;
	return end(t, &writer, WIRE_JOIN);
}

int protocol_connect(struct tenure *t)
{
	int error = link_connect(&t->link, t->socket_path);
	t->trouble = error;
	if (error < 0)
		return error;
	watch(t, EPOLL_CTL_ADD, false);
	t->stage = STAGE_GREETING;
	t->asked_count = 0;
	return say_hello(t);
}

void protocol_disconnect(struct tenure *t, int64_t now)
{
	// By hand: a copy of the descriptor in another process would keep it in the set.
	if (t->link.fd >= 0)
		(void)epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, t->link.fd, NULL);
	if (t->work != 0 && t->held_fd < 0) {
		t->held_fd = t->link.fd;
		t->link.fd = -1;
	}
	link_close(&t->link);
	t->stage = STAGE_DOWN;
	t->retry_at = now + t->retry_ns;
	t->retry_ns = t->retry_ns * 2 < HANDLE_RETRY_LAST_NS ? t->retry_ns * 2 : HANDLE_RETRY_LAST_NS;
}

void protocol_let_go(struct tenure *t)
{
	if (t->held_fd >= 0)
		close(t->held_fd);
	t->held_fd = -1;
}

static void tell(struct tenure *t, enum tenure_event_type type, int64_t deadline, const char *reason)
{
	t->event = (struct tenure_event){.type = type, .term = t->work, .deadline = deadline};
	snprintf(t->event.reason, sizeof t->event.reason, "%s", reason);
}

void protocol_lost(struct tenure *t, const char *reason)
{
	terms_end(t);
	if (t->work == 0 || t->over)
		return;
	t->over = true;
	tell(t, TENURE_LOST, 0, reason);
}

// The connection stays open while there is work, since its end would tell the daemon that the work has ended.
static void broken(struct tenure *t, int64_t now)
{
	protocol_lost(t, "protocol");
	if (t->work == 0) {
		protocol_disconnect(t, now);
		t->retry_at = now + HANDLE_RETRY_REFUSED_NS;
		return;
	}
	t->stage = STAGE_BROKEN;
	(void)epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, t->link.fd, NULL);
}

// A join that is to be tried again on another connection; on this one there is no worker of ours.
static void refused(struct tenure *t, const struct line *line, int64_t now)
{
	enum wire_code code;
	snprintf(t->refusal, sizeof t->refusal, "%s", line_text(line, "message"));
	if (wire_code_find(line_text(line, "code"), &code) < 0)
		code = WIRE_CODE_UNAVAILABLE;
	if (code == WIRE_CODE_UNKNOWN_COMPONENT)
		t->refused = -ENOENT;
	else if (code == WIRE_CODE_DENIED)
		t->refused = -EACCES;
	else if (code == WIRE_CODE_VERSION || code == WIRE_CODE_SYNTAX)
		t->refused = -EPROTO;
	protocol_disconnect(t, now);
	if (t->refused < 0)
		t->retry_at = now + HANDLE_RETRY_REFUSED_NS;
}

static int on_greeted(struct tenure *t, const struct line *line)
{
	terms_find(t, line_text(line, "terms"), line_text(line, "boot"));
	t->stage = STAGE_IDLE;
	// A term that is over is not asked for, and another one not before its work has ended.
	if (t->work != 0 && clock_now_ns() >= tenure_deadline(t))
		return 0;
	return protocol_join(t);
}

static int on_joined(struct tenure *t, const struct line *line)
{
	const char *lease = line_text(line, "lease");
	snprintf(t->lease, sizeof t->lease, "%s", name_is_valid(lease) ? lease : t->component);
	t->stage = STAGE_JOINED;
	t->retry_ns = HANDLE_RETRY_FIRST_NS;
	t->refusal[0] = '\0';
	protocol_let_go(t);
	terms_adopt(t);
	if (t->asked_term != 0 && t->asked_term != t->work) {
		// Its work ended while the question was on its way.
		struct line_writer writer;
		begin(t, &writer, WIRE_STOPPED);
		line_field_u64(&writer, "term", t->asked_term);
		return end(t, &writer, WIRE_STOPPED);
	}
	return t->started ? protocol_say(t, WIRE_STARTED) : 0;
}

static int on_stale(struct tenure *t)
{
	protocol_lost(t, "stale");
	if (t->stage == STAGE_JOINING)
		t->stage = STAGE_IDLE;
	return t->stage == STAGE_IDLE && t->work == 0 ? protocol_join(t) : 0;
}

static int on_error(struct tenure *t, enum wire_word asked, const struct line *line, int64_t now)
{
	bool stale = strcmp(line_text(line, "code"), wire_code_name(WIRE_CODE_STALE)) == 0;
	if (asked == WIRE_STOPPED || asked == WIRE_YIELD || asked == WIRE_LEAVE)
		return 0; // it was over already
	if (stale && (asked != WIRE_JOIN || t->asked_term != 0))
		return on_stale(t);
	if (asked == WIRE_JOIN || asked == WIRE_HELLO) {
		refused(t, line, now);
		return 0;
	}
	return -EPROTO;
}

static int on_answer(struct tenure *t, enum wire_word word, const struct line *line, int64_t now)
{
	if (t->asked_count == 0)
		return -EPROTO;
	enum wire_word asked = t->asked[0];
	memmove(t->asked, t->asked + 1, --t->asked_count * sizeof t->asked[0]);
	if (word == WIRE_ERROR)
		return on_error(t, asked, line, now);
	if (asked == WIRE_HELLO)
		return on_greeted(t, line);
	return asked == WIRE_JOIN ? on_joined(t, line) : 0;
}

struct told {
	uint64_t term;
	int64_t deadline;
};

static int read_told(const struct tenure *t, const struct line *line, struct told *ret)
{
	if (t->stage != STAGE_JOINED || strcmp(line_text(line, "component"), t->component) != 0)
		return -EPROTO;
	if (line_u64(line, "term", &ret->term) < 0 || ret->term == 0 || line_i64(line, "deadline", &ret->deadline) < 0)
		return -EPROTO;
	return 0;
}

static int on_granted(struct tenure *t, const struct line *line)
{
	struct told told;
	int64_t ttl_ms, grace_ms;
	if (read_told(t, line, &told) < 0)
		return -EPROTO;
	if (told.term == t->work) {
		terms_extend(t, told.deadline);
		return 0;
	}
	if (t->work != 0 || told.term <= t->last_term)
		return -EPROTO; // W2
	if (line_i64(line, "ttl_ms", &ttl_ms) < 0 || ttl_ms < 0 || ttl_ms > PAGE_HORIZON_NS / NS_PER_MS)
		return -EPROTO;
	// Its clock is not ours: we are in another time namespace. (Ours is read after the line has come.)
	if (told.deadline > clock_now_ns() + ttl_ms * NS_PER_MS + TTL_ROUNDING_NS)
		return -EPROTO;
	t->grace_ns = ttl_ms * NS_PER_MS / 5;
	if (line_i64(line, "grace_ms", &grace_ms) == 0 && grace_ms > 0)
		t->grace_ns = (grace_ms < ttl_ms ? grace_ms : ttl_ms) * NS_PER_MS;
	t->work = told.term;
	t->last_term = told.term;
	t->over = false;
	t->started = false;
	terms_begin(t, told.term, told.deadline);
	tell(t, TENURE_GRANTED, told.deadline, "");
	return 0;
}

static int on_extended(struct tenure *t, const struct line *line)
{
	struct told told;
	if (read_told(t, line, &told) < 0)
		return -EPROTO;
	if (told.term == t->work && !t->over)
		terms_extend(t, told.deadline);
	return 0;
}

static int on_revoked(struct tenure *t, const struct line *line)
{
	struct told told;
	if (read_told(t, line, &told) < 0)
		return -EPROTO;
	if (told.term != t->work || t->over)
		return 0; // ended, or told already
	t->over = true;
	terms_freeze(t, told.deadline);
	tell(t, TENURE_REVOKED, told.deadline, line_text(line, "reason"));
	return 0;
}

static int on_line(struct tenure *t, const struct line *line, int64_t now)
{
	enum wire_word word;
	if (wire_word_find(line->word, &word) < 0)
		return -EPROTO;
	if (word == WIRE_OK || word == WIRE_ERROR)
		return on_answer(t, word, line, now);
	if (word == WIRE_GRANTED)
		return on_granted(t, line);
	if (word == WIRE_EXTENDED)
		return on_extended(t, line);
	if (word == WIRE_REVOKED)
		return on_revoked(t, line);
	return -EPROTO;
}

// 1 where there may be more.
static int read_one(struct tenure *t, int64_t now)
{
	struct line line;
	int found = link_next(&t->link, &line);
	if (found > 0)
		found = on_line(t, &line, now) < 0 ? -EPROTO : 1;
	else if (found == 0)
		found = link_receive(&t->link);
	return found;
}

void protocol_read(struct tenure *t, int64_t now)
{
	int more = 1;
	flush(t);
	while (more > 0 && t->event.type == TENURE_NOTHING && t->refused == 0 && t->stage != STAGE_DOWN)
		more = read_one(t, now);
	t->more = more > 0 && t->stage != STAGE_DOWN;
	if (more == -ECONNRESET)
		protocol_disconnect(t, now);
	else if (more < 0)
		broken(t, now);
}
