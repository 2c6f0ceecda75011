// SPDX-License-Identifier: Apache-2.0
// A worker that appends `beat NS 0 PID` to FILE each 10 ms, as long as it lives; the time is CLOCK_BOOTTIME's. It is
// as quick to start as tests/system/demo_worker, which looks at its token and is otherwise the same.
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"

#define BEAT_MS 10

int main(int argc, char *argv[])
{
	int fd = argc == 2 ? open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644) : -1;
	if (fd < 0) {
		fputs("usage: beat FILE\n", stderr);
		return EXIT_FAILURE;
	}
	for (;;) {
		char line[64];
		int size = snprintf(line, sizeof line, "beat %lld 0 %d\n", (long long)clock_now_ns(), (int)getpid());
		if (write(fd, line, (size_t)size) != size)
			return EXIT_FAILURE;
		poll(NULL, 0, BEAT_MS);
	}
}
