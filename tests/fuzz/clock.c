// SPDX-License-Identifier: Apache-2.0
// In the place of base/clock.c.
#include "clock.h"

#include "fuzz.h"

int64_t fuzz_now = 1000 * SECOND;

int64_t clock_now_ns(void)
{
	return fuzz_now;
}

int64_t clock_wall_ms(void)
{
	return fuzz_now / 1000000;
}

int clock_boot_id(char ret_text[static BOOT_ID_SIZE])
{
	snprintf(ret_text, BOOT_ID_SIZE, "11111111-2222-4333-8444-555555555555");
	return 0;
}
