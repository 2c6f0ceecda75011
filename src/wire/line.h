// SPDX-License-Identifier: Apache-2.0
// A line of the socket protocol: a word, then key=value fields divided by single spaces, then a newline.
#ifndef TENURE_LINE_H
#define TENURE_LINE_H

#include "base.h"
#include "buffer.h"

// The longest line, its newline included.
#define LINE_BYTES 4096
// The most fields of a line; nothing in version 1 needs half of them.
#define LINE_FIELDS 32

// Cuts a stream into lines. Holds at most one line's worth of bytes, so a peer cannot make it grow.
struct line_splitter {
	char bytes[LINE_BYTES];
	size_t start; // of what was not yielded yet
	size_t end;
	bool too_long; // stays: the stream is of no use any more
};

void line_splitter_init(struct line_splitter *splitter);

// Where to receive the next bytes, and how many fit; 0 only after -EMSGSIZE. Lines yielded before are gone then.
size_t line_splitter_room(struct line_splitter *splitter, char **ret_room);
// Adds `size` bytes that were put there.
void line_splitter_commit(struct line_splitter *splitter, size_t size);

// 1 and a line without its newline, NUL-terminated there, to be parsed in place; 0: no complete line is left, get
// more bytes; -EMSGSIZE: a line is longer than LINE_BYTES (what came before it was yielded).
int line_splitter_next(struct line_splitter *splitter, char **ret_text, size_t *ret_size) MUST_CHECK;

struct line_field {
	const char *key;
	const char *value; // decoded; never holds a NUL but the final one
};

struct line {
	const char *word;
	size_t count;
	struct line_field fields[LINE_FIELDS];
};

// Parses `text` of `size` bytes (text[size] is writable: the NUL that the splitter put there) in place; `line` points
// into it. Fields that nobody asked for are the caller's to ignore.
// 0; -EINVAL: not a line; -EILSEQ: a NUL, a bad %XX or a byte that has to be written as %XX; -EEXIST: a key twice;
// -E2BIG: more than LINE_FIELDS fields.
int line_parse(struct line *ret_line, char *text, size_t size) MUST_CHECK;
// What to tell a peer about such an error (or about -EMSGSIZE).
const char *line_problem(int error);

// 0; -ENOENT: no such field; the numbers also -EINVAL: not a decimal number in range.
int line_string(const struct line *line, const char *key, const char **ret) MUST_CHECK;
int line_u64(const struct line *line, const char *key, uint64_t *ret) MUST_CHECK;
int line_i64(const struct line *line, const char *key, int64_t *ret) MUST_CHECK;
// The field's text, or "" where there is none.
const char *line_text(const struct line *line, const char *key);

// Writes one line at the end of a buffer:
//
//	struct line_writer writer;
//	line_begin(&writer, &client->output, "granted");
//	line_field(&writer, "component", name);
//	line_field_u64(&writer, "term", term);
//	error = line_end(&writer);
struct line_writer {
	struct buffer *buffer;
	size_t start; // of the line in the buffer's contents
	int error;
};

void line_begin(struct line_writer *writer, struct buffer *buffer, const char *word);
void line_field(struct line_writer *writer, const char *key, const char *value);
void line_field_u64(struct line_writer *writer, const char *key, uint64_t value);
void line_field_i64(struct line_writer *writer, const char *key, int64_t value);
// 0; -ENOBUFS (the buffer's limit), -ENOMEM or -EMSGSIZE (over LINE_BYTES): then nothing of the line is in the buffer.
int line_end(struct line_writer *writer) MUST_CHECK;

#endif
