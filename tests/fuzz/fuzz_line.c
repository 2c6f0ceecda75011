// SPDX-License-Identifier: Apache-2.0
// The protocol's lines: cut from a stream in pieces of any size, parsed, and written again.
#include "fuzz.h"

#include "line.h"

#include <errno.h>

static void check_number(const struct line *line, const struct line_field *field)
{
	uint64_t size;
	int64_t number;
	char text[32];
	if (line_u64(line, field->key, &size) == 0) {
		snprintf(text, sizeof text, "%llu", (unsigned long long)size);
		MUST(strcmp(text, field->value + strspn(field->value, "0") - (size == 0)) == 0);
	}
	if (line_i64(line, field->key, &number) == 0) {
		MUST(number == strtoll(field->value, NULL, 10));
		MUST((number < 0) <= (*field->value == '-'));
	}
}

static void check_fields(const struct line *line)
{
	MUST(line->count <= LINE_FIELDS);
	for (size_t i = 0; i < line->count; i++) {
		const char *value;
		MUST(line_string(line, line->fields[i].key, &value) == 0 && value == line->fields[i].value);
		check_number(line, &line->fields[i]);
	}
}

// What was read says the same when it is written and read again.
static void check_again(const struct line *line)
{
	struct buffer buffer;
	struct line_writer writer;
	struct line again;
	char text[LINE_BYTES];
	buffer_init(&buffer, LINE_BYTES);
	line_begin(&writer, &buffer, line->word);
	for (size_t i = 0; i < line->count; i++)
		line_field(&writer, line->fields[i].key, line->fields[i].value);
	MUST(line_end(&writer) == 0);
	size_t size = buffer_size(&buffer) - 1;
	memcpy(text, buffer_bytes(&buffer), size + 1);
	MUST(text[size] == '\n' && !memchr(text, '\n', size));
	MUST(line_parse(&again, text, size) == 0);
	MUST(strcmp(again.word, line->word) == 0 && again.count == line->count);
	for (size_t i = 0; i < line->count; i++) {
		MUST(strcmp(again.fields[i].key, line->fields[i].key) == 0);
		MUST(strcmp(again.fields[i].value, line->fields[i].value) == 0);
	}
	buffer_done(&buffer);
}

// The stream, as anybody would look for lines in it.
struct stream {
	const uint8_t *data;
	size_t start; // of the next line
	size_t given; // to the splitter
};

static void take_line(struct stream *stream, char *text, size_t size)
{
	struct line line;
	const uint8_t *data = stream->data + stream->start;
	MUST(size < LINE_BYTES && size < stream->given - stream->start);
	MUST(memcmp(data, text, size) == 0 && data[size] == '\n' && !memchr(data, '\n', size) && text[size] == '\0');
	stream->start += size + 1;
	int error = line_parse(&line, text, size);
	if (error == 0) {
		check_fields(&line);
		check_again(&line);
		return;
	}
	MUST(error == -EINVAL || error == -EILSEQ || error == -EEXIST || error == -E2BIG);
}

// False where the splitter takes no more.
static bool take_lines(struct stream *stream, struct line_splitter *splitter)
{
	char *text;
	size_t size;
	int result;
	while ((result = line_splitter_next(splitter, &text, &size)) == 1)
		take_line(stream, text, size);
	const uint8_t *rest = stream->data + stream->start;
	size_t left = stream->given - stream->start;
	bool too_long = left >= LINE_BYTES && !memchr(rest, '\n', LINE_BYTES);
	MUST(result == (too_long ? -EMSGSIZE : 0));
	MUST(too_long || left == 0 || !memchr(rest, '\n', left));
	return !too_long;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct line_splitter splitter;
	struct input input = {data, size};
	size_t step = 1 + (size_t)take(&input) * 17; // how much comes at once
	struct stream stream = {.data = input.data};
	line_splitter_init(&splitter);
	while (input.left > 0) {
		char *room;
		size_t fits = line_splitter_room(&splitter, &room);
		size_t got = step < fits ? step : fits;
		got = got < input.left ? got : input.left;
		MUST(got > 0);
		memcpy(room, input.data, got);
		input.data += got;
		input.left -= got;
		stream.given += got;
		line_splitter_commit(&splitter, got);
		if (!take_lines(&stream, &splitter))
			return 0;
	}
	return 0;
}
