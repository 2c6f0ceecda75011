// SPDX-License-Identifier: Apache-2.0
// What every layer may use: attributes, array length, names, identities.
#ifndef TENURE_BASE_H
#define TENURE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TENURE_VERSION "0.1.0"

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

// The longest component or node name, in bytes without the final NUL.
#define NAME_BYTES 64

// An identity that no two daemon incarnations share (W21). All zero: none.
struct uuid {
	uint8_t byte[16];
};

// 36 characters and the final NUL.
#define UUID_TEXT_SIZE 37

static inline bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->byte, b->byte, sizeof a->byte) == 0;
}

static inline bool uuid_is_none(const struct uuid *id)
{
	static const struct uuid none;
	return uuid_equal(id, &none);
}

// Writes the lower-case text of `id` and a final NUL.
void uuid_format(const struct uuid *id, char ret_text[static UUID_TEXT_SIZE]);
// 0, or -EINVAL where `text` is not 8-4-4-4-12 hexadecimal digits.
int uuid_parse(const char *text, struct uuid *ret) MUST_CHECK;
// A random (version 4) identity from the kernel; 0 or -errno.
int uuid_random(struct uuid *ret) MUST_CHECK;

// True where `name` is 1 to NAME_BYTES bytes of A–Z a–z 0–9 . _ - : (a component's or a node's name).
bool name_is_valid(const char *name);

#endif
