// SPDX-License-Identifier: Apache-2.0
// Loaded before libfaketime into what has its wall clock moved. libfaketime takes every timer with a descriptor to be
// one of the wall clock, and moves those of CLOCK_BOOTTIME as well, which no administrator can do.
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

__attribute__((visibility("default"))) int timerfd_settime(
	int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	return (int)syscall(SYS_timerfd_settime, fd, flags, new, old);
}
