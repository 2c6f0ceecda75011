// SPDX-License-Identifier: Apache-2.0
// Arrays on the heap that grow.
#ifndef TENURE_ARRAY_H
#define TENURE_ARRAY_H

#include <errno.h>
#include <stdlib.h>

#include "base.h"

// `array` is the address of a pointer to `count` elements from now on; 0, or -ENOMEM and as it was.
static inline int MUST_CHECK array_grow(void *array, size_t count, size_t size)
{
	void *memory;
	memcpy(&memory, array, sizeof memory);
	void *larger = reallocarray(memory, count, size);
	if (!larger)
		return -ENOMEM;
	memcpy(array, &larger, sizeof larger);
	// cppcheck-suppress memleak ; the caller has it by now
	return 0;
}

#endif
