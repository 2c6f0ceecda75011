// SPDX-License-Identifier: Apache-2.0
#include "line.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

// A 64-bit number in decimal, its sign and a NUL.
#define NUMBER_SIZE 24

void line_splitter_init(struct line_splitter *splitter)
{
	splitter->start = 0;
	splitter->end = 0;
	splitter->too_long = false;
}

size_t line_splitter_room(struct line_splitter *splitter, char **ret_room)
{
	if (splitter->start > 0) {
		splitter->end -= splitter->start;
		memmove(splitter->bytes, splitter->bytes + splitter->start, splitter->end);
		splitter->start = 0;
	}
	*ret_room = splitter->bytes + splitter->end;
	return splitter->too_long ? 0 : sizeof splitter->bytes - splitter->end;
}

void line_splitter_commit(struct line_splitter *splitter, size_t size)
{
	splitter->end += size;
}

int line_splitter_next(struct line_splitter *splitter, char **ret_text, size_t *ret_size)
{
	if (splitter->too_long)
		return -EMSGSIZE;
	char *text = splitter->bytes + splitter->start;
	size_t left = splitter->end - splitter->start;
	char *newline = memchr(text, '\n', left);
	if (!newline) {
		splitter->too_long = left >= LINE_BYTES;
		return splitter->too_long ? -EMSGSIZE : 0;
	}
	*newline = '\0';
	*ret_text = text;
	*ret_size = (size_t)(newline - text);
	splitter->start += *ret_size + 1;
	return 1;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

// What a value may hold as it is.
static bool is_plain(char c)
{
	return is_digit(c) || is_lower(c) || (c >= 'A' && c <= 'Z') || (c != '\0' && strchr("._~:/@+,-", c));
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -EILSEQ;
}

// The character at `from`, and in `ret_size` how many bytes it takes up; or -EILSEQ.
static int decode_one(const char *from, size_t *ret_size)
{
	if (*from != '%') {
		*ret_size = 1;
		return is_plain(*from) ? *from : -EILSEQ;
	}
	int high = hex_value(from[1]);
	int low = high < 0 ? high : hex_value(from[2]);
	if (low < 0 || (high == 0 && low == 0))
		return -EILSEQ;
	*ret_size = 3;
	return high << 4 | low;
}

// In place: what comes out is never longer than what went in. `value` ends with a NUL.
static int decode_value(char *value)
{
	char *to = value;
	size_t size;
	for (const char *from = value; *from != '\0'; from += size) {
		int c = decode_one(from, &size);
		if (c < 0)
			return c;
		*to++ = (char)c;
	}
	*to = '\0';
	return 0;
}

static bool is_word(const char *text)
{
	if (!is_lower(*text))
		return false;
	for (const char *c = text; *c != '\0'; c++)
		if (!is_lower(*c) && !is_digit(*c) && *c != '-' && *c != '_')
			return false;
	return true;
}

static int add_field(struct line *line, char *text)
{
	char *equals = strchr(text, '=');
	if (!equals)
		return -EINVAL;
	*equals = '\0';
	if (!is_word(text))
		return -EINVAL;
	const char *found;
	if (line_string(line, text, &found) == 0)
		return -EEXIST;
	if (line->count == LINE_FIELDS)
		return -E2BIG;
	int error = decode_value(equals + 1);
	if (error < 0)
		return error;
	line->fields[line->count++] = (struct line_field){.key = text, .value = equals + 1};
	return 0;
}

int line_parse(struct line *ret_line, char *text, size_t size)
{
	if (memchr(text, '\0', size))
		return -EILSEQ;
	text[size] = '\0';
	struct line line;
	line.count = 0;
	char *rest = strchr(text, ' ');
	if (rest)
		*rest++ = '\0';
	if (!is_word(text))
		return -EINVAL;
	line.word = text;
	while (rest) {
		char *field = rest;
		rest = strchr(field, ' ');
		if (rest)
			*rest++ = '\0';
		int error = add_field(&line, field);
		if (error < 0)
			return error;
	}
	*ret_line = line;
	return 0;
}

const char *line_problem(int error)
{
	switch (error) {
	case -EINVAL:
		return "a line is a word and then key=value fields divided by single spaces";
	case -EILSEQ:
		return "a value holds a NUL, a bad %XX or a byte that has to be written as %XX";
	case -EEXIST:
		return "a key is given twice";
	case -E2BIG:
		return "a line has too many fields";
	case -EMSGSIZE:
		return "a line is longer than 4096 bytes";
	default:
		return "the line cannot be read";
	}
}

int line_string(const struct line *line, const char *key, const char **ret)
{
	for (size_t i = 0; i < line->count; i++) {
		if (strcmp(line->fields[i].key, key) != 0)
			continue;
		*ret = line->fields[i].value;
		return 0;
	}
	return -ENOENT;
}

const char *line_text(const struct line *line, const char *key)
{
	const char *text = "";
	return line_string(line, key, &text) == 0 ? text : "";
}

static int parse_u64(const char *text, uint64_t *ret)
{
	uint64_t value = 0;
	if (*text == '\0')
		return -EINVAL;
	for (; *text != '\0'; text++) {
		if (!is_digit(*text) || __builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return -EINVAL;
	}
	*ret = value;
	return 0;
}

int line_u64(const struct line *line, const char *key, uint64_t *ret)
{
	const char *text;
	int error = line_string(line, key, &text);
	return error < 0 ? error : parse_u64(text, ret);
}

int line_i64(const struct line *line, const char *key, int64_t *ret)
{
	const char *text;
	int error = line_string(line, key, &text);
	if (error < 0)
		return error;
	bool negative = *text == '-';
	uint64_t size;
	error = parse_u64(text + negative, &size);
	if (error < 0)
		return error;
	if (size > (uint64_t)INT64_MAX + negative)
		return -EINVAL;
	*ret = (int64_t)(negative ? 0 - size : size);
	return 0;
}

static void put(struct line_writer *writer, const char *bytes, size_t size)
{
	if (writer->error == 0)
		writer->error = buffer_append(writer->buffer, bytes, size);
}

void line_begin(struct line_writer *writer, struct buffer *buffer, const char *word)
{
	*writer = (struct line_writer){.buffer = buffer, .start = buffer_size(buffer)};
	put(writer, word, strlen(word));
}

static void put_key(struct line_writer *writer, const char *key)
{
	put(writer, " ", 1);
	put(writer, key, strlen(key));
	put(writer, "=", 1);
}

void line_field(struct line_writer *writer, const char *key, const char *value)
{
	static const char digit[] = "0123456789ABCDEF";
	put_key(writer, key);
	while (*value != '\0') {
		size_t plain = 0;
		while (is_plain(value[plain]))
			plain++;
		put(writer, value, plain);
		value += plain;
		if (*value == '\0')
			return;
		unsigned char c = (unsigned char)*value++;
		put(writer, (const char[]){'%', digit[c >> 4], digit[c & 15]}, 3);
	}
}

void line_field_u64(struct line_writer *writer, const char *key, uint64_t value)
{
	char text[NUMBER_SIZE];
	snprintf(text, sizeof text, "%" PRIu64, value);
	line_field(writer, key, text);
}

void line_field_i64(struct line_writer *writer, const char *key, int64_t value)
{
	char text[NUMBER_SIZE];
	snprintf(text, sizeof text, "%" PRId64, value);
	line_field(writer, key, text);
}

int line_end(struct line_writer *writer)
{
	put(writer, "\n", 1);
	if (writer->error == 0 && buffer_size(writer->buffer) - writer->start > LINE_BYTES)
		writer->error = -EMSGSIZE;
	if (writer->error < 0)
		buffer_truncate(writer->buffer, writer->start);
	return writer->error;
}
