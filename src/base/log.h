// SPDX-License-Identifier: Apache-2.0
// The log: one line an event to standard error, a word and then key=value fields.
//
//   log_info("granted", log_text("component", name), log_uint("term", term));
//   2025-01-31T12:00:00.123Z info granted component=engine term=42      (a terminal, a file, a pipe)
//   <6>granted component=engine term=42                                 (systemd's journal)
//
// A value that needs it is quoted; whatever is not printable ASCII is escaped, so a peer's bytes cannot forge a line.
// A line is one write(2) of at most LOG_LINE_BYTES; a longer one is cut and says `cut=yes`. Standard error stays as
// blocking as it was handed to us, so a line waits LOG_WAIT_MS at most for a reader that fell behind, and is then
// dropped; how many were is reported once lines go out again. Only the daemon's loop thread logs.
#ifndef TENURE_LOG_H
#define TENURE_LOG_H

#include "base.h"

// PIPE_BUF: up to here a write to a pipe is not torn.
#define LOG_LINE_BYTES 4096
#define LOG_WAIT_MS 20

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

enum log_field_kind {
	LOG_FIELD_END,
	LOG_FIELD_TEXT,
	LOG_FIELD_INT,
	LOG_FIELD_UINT,
	LOG_FIELD_MS,
	LOG_FIELD_ERRNO,
};

struct log_field {
	enum log_field_kind kind;
	const char *key;
	union {
		const char *text;
		int64_t number;
		uint64_t count;
	};
};

// A field whose text is NULL is left out.
static inline struct log_field log_text(const char *key, const char *text)
{
	return (struct log_field){.kind = LOG_FIELD_TEXT, .key = key, .text = text};
}

static inline struct log_field log_int(const char *key, int64_t number)
{
	return (struct log_field){.kind = LOG_FIELD_INT, .key = key, .number = number};
}

static inline struct log_field log_uint(const char *key, uint64_t count)
{
	return (struct log_field){.kind = LOG_FIELD_UINT, .key = key, .count = count};
}

// Nanoseconds, shown as milliseconds with three decimals; the key should end in _ms.
static inline struct log_field log_ms(const char *key, int64_t ns)
{
	return (struct log_field){.kind = LOG_FIELD_MS, .key = key, .number = ns};
}

// A negative (or positive) errno, shown as its text.
static inline struct log_field log_errno(const char *key, int error)
{
	return (struct log_field){.kind = LOG_FIELD_ERRNO, .key = key, .number = error};
}

// `event` is one word; fields end with LOG_FIELD_END, which the macros below append.
void log_write(enum log_level level, const char *event, const struct log_field *fields);
// A line without fields.
void log_event(enum log_level level, const char *event);

#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__, {.kind = LOG_FIELD_END}})
#define log_error(event, ...) log_write(LOG_LEVEL_ERROR, event, LOG_FIELDS(__VA_ARGS__))
#define log_warning(event, ...) log_write(LOG_LEVEL_WARNING, event, LOG_FIELDS(__VA_ARGS__))
#define log_info(event, ...) log_write(LOG_LEVEL_INFO, event, LOG_FIELDS(__VA_ARGS__))
#define log_debug(event, ...) log_write(LOG_LEVEL_DEBUG, event, LOG_FIELDS(__VA_ARGS__))

// Looks at what standard error is. Without it lines go out with a time, from LOG_LEVEL_INFO up.
void log_init(void);
void log_set_level(enum log_level level);
bool log_is_on(enum log_level level);
// error, warning, info, debug.
const char *log_level_name(enum log_level level);
int log_level_parse(const char *name, enum log_level *ret) MUST_CHECK;

#endif
