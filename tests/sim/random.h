// SPDX-License-Identifier: Apache-2.0
// The only source of chance: a seed gives the same run on every machine.
#ifndef TENURE_SIM_RANDOM_H
#define TENURE_SIM_RANDOM_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

// Chances are in millionths.
#define MILLION 1000000

struct random {
	uint64_t state;
};

// SplitMix64.
static inline uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

// 0 … n - 1
static inline uint32_t random_below(struct random *random, uint32_t n)
{
	return (uint32_t)(((random_next(random) >> 32) * n) >> 32);
}

// low … high
static inline int64_t random_between(struct random *random, int64_t low, int64_t high)
{
	assert(low <= high);
	return low + (int64_t)(random_next(random) % ((uint64_t)(high - low) + 1));
}

static inline bool random_chance(struct random *random, uint32_t millionths)
{
	return millionths > 0 && random_below(random, MILLION) < millionths;
}

// low … high, every doubling being as likely as the next: small values are as frequent as large ones.
static inline int64_t random_scale(struct random *random, int64_t low, int64_t high)
{
	uint32_t doublings = 0;
	while (low << (doublings + 1) < high)
		doublings++;
	int64_t from = low << random_below(random, doublings + 1);
	return random_between(random, from, from * 2 < high ? from * 2 : high);
}

#endif
