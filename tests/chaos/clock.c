// SPDX-License-Identifier: Apache-2.0
// A wall clock that can be moved, for what this is loaded into by LD_PRELOAD: by as many seconds as the eight bytes at
// the begin of the file $TENURE_CHAOS_CLOCK say at that moment.
//
// libfaketime does more, and too much for this: it takes every timerfd to be one of the wall clock and moves those of
// CLOCK_BOOTTIME too, which no administrator can do; and it reads a file, with malloc(), in the signal handlers in
// which PostgreSQL asks for the time.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))
#define UNIX_TIMES 1000000000 // seconds that a clock which begins with the machine does not reach

typedef int (*timed_wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

static const volatile int64_t not_moved;
static const volatile int64_t *moved = &not_moved;
static timed_wait real_wait;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("TENURE_CHAOS_CLOCK");
	*(void **)&real_wait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *shared = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *moved, PROT_READ, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED || !real_wait)
		abort(); // a test would show nothing
	moved = shared;
	close(fd);
}

// libc's own names of the parameters are reserved.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
EXPORTED int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int result = (int)syscall(SYS_clock_gettime, clock, ret);
	if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		ret->tv_sec += *moved;
	return result;
}

EXPORTED int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	struct timespec now;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*ret = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
	return 0;
}

EXPORTED time_t time(time_t *ret)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (ret)
		*ret = now.tv_sec;
	return now.tv_sec;
}

// The kernel's clock is not moved: who waits for an instant of it has to be told which.
EXPORTED int pthread_cond_timedwait(
	pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, const struct timespec *restrict until)
{
	struct timespec real = *until;
	if (real.tv_sec > UNIX_TIMES)
		real.tv_sec -= *moved;
	return real_wait(condition, mutex, &real);
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
