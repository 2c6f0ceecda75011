// SPDX-License-Identifier: Apache-2.0
// The only place that reads a clock.
#ifndef TENURE_CLOCK_H
#define TENURE_CLOCK_H

#include <stdint.h>

// Nanoseconds of CLOCK_BOOTTIME: counts through suspend, the same for every process of this boot, never set.
int64_t clock_now_ns(void);

// Milliseconds of wall-clock time since 1970, for people's eyes only: nothing is decided by it.
int64_t clock_wall_ms(void);

#define BOOT_ID_SIZE 37
// The kernel's boot id as text; 0 or -errno.
int clock_boot_id(char ret_text[static BOOT_ID_SIZE]) __attribute__((warn_unused_result));

#endif
