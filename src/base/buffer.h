// SPDX-License-Identifier: Apache-2.0
// A byte queue that grows up to a limit: appended at the end, consumed from the front.
#ifndef TENURE_BUFFER_H
#define TENURE_BUFFER_H

#include "base.h"

struct buffer {
	char *memory;
	size_t start; // of the contents in `memory`
	size_t size;  // of the contents
	size_t capacity;
	size_t limit;
};

// Allocates nothing. `limit` is the most bytes the contents may ever have.
void buffer_init(struct buffer *buffer, size_t limit);
void buffer_done(struct buffer *buffer);

// The contents; valid until the next append or reserve. Not NUL-terminated.
static inline const char *buffer_bytes(const struct buffer *buffer)
{
	return buffer->memory ? buffer->memory + buffer->start : "";
}

static inline size_t buffer_size(const struct buffer *buffer)
{
	return buffer->size;
}

// 0, -ENOBUFS past the limit or -ENOMEM, both with the contents unchanged.
int buffer_append(struct buffer *buffer, const void *bytes, size_t size) MUST_CHECK;

// Makes room for `size` bytes, at least one, after the contents, to be filled in and then added by buffer_commit().
int buffer_reserve(struct buffer *buffer, size_t size, char **ret_room) MUST_CHECK;
void buffer_commit(struct buffer *buffer, size_t size);

// Drops `size` bytes, all of them present, from the front.
void buffer_consume(struct buffer *buffer, size_t size);
// Drops what is after the first `size` bytes.
void buffer_truncate(struct buffer *buffer, size_t size);

#endif
