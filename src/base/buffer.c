// SPDX-License-Identifier: Apache-2.0
#include "buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define BUFFER_FIRST_BYTES 256

void buffer_init(struct buffer *buffer, size_t limit)
{
	*buffer = (struct buffer){.limit = limit};
}

void buffer_done(struct buffer *buffer)
{
	free(buffer->memory);
	*buffer = (struct buffer){.limit = buffer->limit};
}

static void move_to_front(struct buffer *buffer)
{
	if (buffer->start == 0)
		return;
	memmove(buffer->memory, buffer->memory + buffer->start, buffer->size);
	buffer->start = 0;
}

// `size` is at most the limit.
static int grow(struct buffer *buffer, size_t size)
{
	size_t capacity = buffer->capacity ? buffer->capacity : BUFFER_FIRST_BYTES;
	while (capacity < size)
		capacity = capacity > buffer->limit / 2 ? buffer->limit : capacity * 2;
	char *memory = realloc(buffer->memory, capacity);
	if (!memory)
		return -ENOMEM;
	buffer->memory = memory;
	buffer->capacity = capacity;
	return 0;
}

int buffer_reserve(struct buffer *buffer, size_t size, char **ret_room)
{
	assert(size > 0);
	if (size > buffer->limit - buffer->size)
		return -ENOBUFS;
	if (size > buffer->capacity - buffer->size) {
		int error = grow(buffer, buffer->size + size);
		if (error < 0)
			return error;
	}
	if (size > buffer->capacity - buffer->size - buffer->start)
		move_to_front(buffer);
	assert(buffer->memory);
	*ret_room = buffer->memory + buffer->start + buffer->size;
	return 0;
}

void buffer_commit(struct buffer *buffer, size_t size)
{
	assert(size <= buffer->capacity - buffer->size - buffer->start);
	buffer->size += size;
}

int buffer_append(struct buffer *buffer, const void *bytes, size_t size)
{
	if (size == 0)
		return 0;
	char *room;
	int error = buffer_reserve(buffer, size, &room);
	if (error < 0)
		return error;
	memcpy(room, bytes, size);
	buffer_commit(buffer, size);
	return 0;
}

void buffer_consume(struct buffer *buffer, size_t size)
{
	assert(size <= buffer->size);
	buffer->size -= size;
	buffer->start = buffer->size ? buffer->start + size : 0;
}

void buffer_truncate(struct buffer *buffer, size_t size)
{
	assert(size <= buffer->size);
	buffer->size = size;
}
