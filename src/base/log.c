// SPDX-License-Identifier: Apache-2.0
// The log's lines, and what becomes of those that nobody takes.
#include "log.h"

#include "clock.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// Kept free for the end of a line that is cut.
#define END_BYTES sizeof("\" cut=yes\n")

// Room for any number or errno text.
#define VALUE_BYTES 128

struct line {
	size_t length;
	bool cut;
	char text[LOG_LINE_BYTES];
};

static struct {
	enum log_level level;
	bool journal;
	uint64_t lost;
} the_log = {.level = LOG_LEVEL_INFO};

static const struct {
	const char *name;
	char priority; // syslog's
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", '3'},
	[LOG_LEVEL_WARNING] = {"warning", '4'},
	[LOG_LEVEL_INFO] = {"info", '6'},
	[LOG_LEVEL_DEBUG] = {"debug", '7'},
};

const char *log_level_name(enum log_level level)
{
	assert((size_t)level < COUNT_OF(levels));
	return levels[level].name;
}

int log_level_parse(const char *name, enum log_level *ret)
{
	for (size_t i = 0; i < COUNT_OF(levels); i++) {
		if (strcmp(name, levels[i].name) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

void log_set_level(enum log_level level)
{
	the_log.level = level;
}

bool log_is_on(enum log_level level)
{
	return level <= the_log.level;
}

// systemd names the socket it gave us in JOURNAL_STREAM; under older ones a socket of a unit is the journal's.
static bool is_journal(void)
{
	struct stat status;
	if (fstat(STDERR_FILENO, &status) != 0)
		return false;
	const char *stream = getenv("JOURNAL_STREAM");
	if (stream == NULL)
		return getenv("INVOCATION_ID") != NULL && S_ISSOCK(status.st_mode);
	char text[64];
	snprintf(text, sizeof text, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
	return strcmp(stream, text) == 0;
}

void log_init(void)
{
	the_log.journal = is_journal();
}

// All or nothing, so that an escape is never torn.
static void put(struct line *line, const char *text, size_t length)
{
	if (line->cut)
		return;
	if (length > sizeof line->text - END_BYTES - line->length) {
		line->cut = true;
		return;
	}
	memcpy(line->text + line->length, text, length);
	line->length += length;
}

static void put_text(struct line *line, const char *text)
{
	put(line, text, strlen(text));
}

static bool is_plain(const char *text)
{
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text <= ' ' || *text > '~' || strchr("\"=\\", *text) != NULL)
			return false;
	}
	return true;
}

static void put_quoted_byte(struct line *line, unsigned char byte)
{
	char escape[8];
	if (byte == '"' || byte == '\\')
		snprintf(escape, sizeof escape, "\\%c", byte);
	else if (byte == '\n')
		snprintf(escape, sizeof escape, "\\n");
	else if (byte < ' ' || byte > '~')
		snprintf(escape, sizeof escape, "\\x%02x", byte);
	else
		snprintf(escape, sizeof escape, "%c", byte);
	put_text(line, escape);
}

static void put_value(struct line *line, const char *text)
{
	if (is_plain(text)) {
		put_text(line, text);
		return;
	}
	put(line, "\"", 1);
	if (line->cut)
		return;
	for (; *text != '\0' && !line->cut; text++)
		put_quoted_byte(line, (unsigned char)*text);
	line->text[line->length++] = '"'; // END_BYTES has room for it
}

static const char *field_value(const struct log_field *field, char buffer[static VALUE_BYTES])
{
	switch (field->kind) {
	case LOG_FIELD_TEXT:
		return field->text;
	case LOG_FIELD_INT:
		snprintf(buffer, VALUE_BYTES, "%" PRId64, field->number);
		return buffer;
	case LOG_FIELD_UINT:
		snprintf(buffer, VALUE_BYTES, "%" PRIu64, field->count);
		return buffer;
	case LOG_FIELD_MS:
		snprintf(buffer, VALUE_BYTES, "%.3f", (double)field->number / (double)NS_PER_MS);
		return buffer;
	case LOG_FIELD_ERRNO:
		return strerror_r((int)(field->number < 0 ? -field->number : field->number), buffer, VALUE_BYTES);
	case LOG_FIELD_END:
		break;
	}
	return NULL;
}

static void put_field(struct line *line, const struct log_field *field)
{
	char buffer[VALUE_BYTES];
	const char *value = field_value(field, buffer);
	if (value == NULL)
		return;
	put(line, " ", 1);
	put_text(line, field->key);
	put(line, "=", 1);
	put_value(line, value);
}

static void put_start(struct line *line, enum log_level level)
{
	char text[64];
	if (the_log.journal) {
		snprintf(text, sizeof text, "<%c>", levels[level].priority);
		put_text(line, text);
		return;
	}
	const int64_t wall_ms = clock_wall_ms();
	const time_t seconds = (time_t)(wall_ms / 1000);
	struct tm utc;
	gmtime_r(&seconds, &utc);
	const size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + length, sizeof text - length, ".%03dZ %s ", (int)(wall_ms % 1000), log_level_name(level));
	put_text(line, text);
}

static void put_end(struct line *line)
{
	const char *end = line->cut ? " cut=yes\n" : "\n";
	memcpy(line->text + line->length, end, strlen(end));
	line->length += strlen(end);
}

static void compose(struct line *line, enum log_level level, const char *event, const struct log_field *fields)
{
	line->length = 0;
	line->cut = false;
	put_start(line, level);
	put_text(line, event);
	for (; fields->kind != LOG_FIELD_END; fields++)
		put_field(line, fields);
	put_end(line);
}

// A blocking standard error that nobody reads must not stop the loop, and so the leases. Once a line was lost, none
// waits until one gets through.
static bool is_writable(void)
{
	struct pollfd standard_error = {.fd = STDERR_FILENO, .events = POLLOUT};
	const int wait_ms = the_log.lost > 0 ? 0 : LOG_WAIT_MS;
	return poll(&standard_error, 1, wait_ms) == 1 && (standard_error.revents & POLLOUT) != 0;
}

static bool send_line(const struct line *line)
{
	if (!is_writable())
		return false;
	ssize_t written;
	do
		written = write(STDERR_FILENO, line->text, line->length);
	while (written < 0 && errno == EINTR);
	return written == (ssize_t)line->length;
}

static bool send_lost(void)
{
	struct line line;
	compose(&line, LOG_LEVEL_WARNING, "log-lost", LOG_FIELDS(log_uint("lines", the_log.lost)));
	return send_line(&line);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
	if (!log_is_on(level))
		return;
	const int saved_errno = errno;
	struct line line;
	compose(&line, level, event, fields);
	if (the_log.lost > 0 && send_lost())
		the_log.lost = 0;
	if (the_log.lost > 0 || !send_line(&line))
		the_log.lost++;
	errno = saved_errno;
}

void log_event(enum log_level level, const char *event)
{
	log_write(level, event, &(const struct log_field){.kind = LOG_FIELD_END});
}
