// SPDX-License-Identifier: Apache-2.0
#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

int64_t clock_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t clock_wall_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int clock_boot_id(char ret_text[static BOOT_ID_SIZE])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t length = read(fd, ret_text, BOOT_ID_SIZE - 1);
	int error = length < 0 ? -errno : 0;
	close(fd);
	if (error < 0)
		return error;
	if (length != BOOT_ID_SIZE - 1)
		return -EIO;
	ret_text[length] = '\0';
	return 0;
}
