// SPDX-License-Identifier: Apache-2.0
// Counts what is allocated while `counting`, by whomever in this process; nothing where a sanitizer has the allocator.
#ifndef TENURE_TESTS_BENCH_ALLOCATIONS_H
#define TENURE_TESTS_BENCH_ALLOCATIONS_H

#include <stdbool.h>
#include <stdlib.h>

static bool counting;
static unsigned allocations;

#ifndef __has_feature
#define __has_feature(name) 0
#endif
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !SANITIZED
#define SEEN __attribute__((visibility("default")))
// What malloc(3) and the others are in glibc, where a program has its own.
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t nmemb, size_t size);
void *__libc_realloc(void *ptr, size_t size);

SEEN void *malloc(size_t size)
{
	allocations += counting;
	return __libc_malloc(size);
}

SEEN void *calloc(size_t nmemb, size_t size)
{
	allocations += counting;
	return __libc_calloc(nmemb, size);
}

SEEN void *realloc(void *ptr, size_t size)
{
	allocations += counting;
	return __libc_realloc(ptr, size);
}
#endif

#endif
