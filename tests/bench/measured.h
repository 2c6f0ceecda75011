// SPDX-License-Identifier: Apache-2.0
// A function that stays one: callgrind looks at it by its name.
#ifndef TENURE_TESTS_BENCH_MEASURED_H
#define TENURE_TESTS_BENCH_MEASURED_H

#if __has_attribute(noipa)
#define MEASURED __attribute__((noinline, noipa))
#else
#define MEASURED __attribute__((noinline))
#endif

#endif
