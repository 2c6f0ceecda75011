// SPDX-License-Identifier: Apache-2.0
// What a database says that means no good, for what stands in for the client libraries: postgresql.c, mysql.c.
#ifndef TENURE_FUZZ_HOSTILE_H
#define TENURE_FUZZ_HOSTILE_H

#include "fuzz.h"

#include <inttypes.h>

#define CELL_BYTES 512
#define CELL_NULL SIZE_MAX
// It is in no text that comes out.
#define PASSWORD "secret"

// Of the input that runs; and which life of a server it speaks of, mostly.
extern struct input hostile;
extern const char *hostile_life;

// A socket that can be written to, and never has anything to read.
int hostile_socket(void);

// Nothing comes, for longer than anybody waits.
static inline void stay_silent(void)
{
	fuzz_now += 100 * SECOND;
}

// A value in a row, and its size, or CELL_NULL: what belongs there, or any bytes.
static inline size_t take_cell(char ret[static CELL_BYTES])
{
	static const char *const names[] = {"engine", "counter", "discovery"};
	static const char *const texts[] = {"other", "0", "1", "2", "7", "t", "a", "b",
		"00000000-0000-0000-0000-000000000000", "01000000-0000-0000-0000-000000000000",
		"02000000-0000-0000-0000-000000000000", "03000000-0000-0000-0000-000000000000", "engine=5 counter=-1",
		"counter>counter discovery>engine", "my secret is"};
	uint8_t choice = take(&hostile);
	if (choice < 32)
		return (size_t)snprintf(ret, CELL_BYTES, "%s", names[choice % COUNT_OF(names)]);
	if (choice < 96)
		return (size_t)snprintf(ret, CELL_BYTES, "%s", texts[choice % COUNT_OF(texts)]);
	if (choice < 112)
		return CELL_NULL;
	if (choice >= 128 && choice < 144)
		return (size_t)snprintf(ret, CELL_BYTES, "%" PRId64, take_odd(&hostile));
	if (choice >= 144 && choice < 184)
		return (size_t)snprintf(ret, CELL_BYTES, "%u", choice % 4U);
	size_t size = choice < 184 ? 0 : choice < 192 ? CELL_BYTES - 1 : choice - 192U;
	memset(ret, 'x', size);
	for (size_t i = 0; choice >= 192 && i < size; i++)
		ret[i] = (char)take(&hostile);
	ret[size] = '\0';
	return size;
}

// What is there always, mostly as it should be; NULL stands for the server's life.
static inline size_t take_cell_like(const char *good, uint8_t odd, char ret[static CELL_BYTES])
{
	if (odd < 240)
		return (size_t)snprintf(ret, CELL_BYTES, "%s", good ? good : hostile_life);
	return take_cell(ret);
}

// A text that ends where the C string does.
static inline const char *take_text(char ret[static CELL_BYTES])
{
	return take_cell(ret) == CELL_NULL ? "" : ret;
}

#endif
