// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets share. Each target is one file with LLVMFuzzerTestOneInput(); with replay.c in libFuzzer's
// place it runs the files of its corpus.
#ifndef TENURE_FUZZ_H
#define TENURE_FUZZ_H

#include "base.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// In every build, assert() or not.
#define MUST(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

// clock.c stands in for base/clock.c: time passes where a target says so, and an input does the same each time.
extern int64_t fuzz_now;

// The input, taken from its front; zeros where it ends.
struct input {
	const uint8_t *data;
	size_t left;
};

static inline uint8_t take(struct input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->data++;
}

static inline uint32_t take_below(struct input *input, uint32_t end)
{
	return take(input) % end;
}

static inline bool take_bool(struct input *input)
{
	return take(input) & 1;
}

static inline uint64_t take_u64(struct input *input)
{
	uint64_t value = 0;
	for (int i = 0; i < 8; i++)
		value = value << 8 | take(input);
	return value;
}

// A number where numbers go wrong, or any.
static inline int64_t take_odd(struct input *input)
{
	static const int64_t odd[] = {0, 1, -1, 10000, INT64_MAX, INT64_MIN, INT32_MAX, INT64_MAX / 1000000, 500};
	uint8_t choice = take(input);
	return choice < COUNT_OF(odd) ? odd[choice] : choice < 64 ? choice : (int64_t)take_u64(input);
}

#endif
