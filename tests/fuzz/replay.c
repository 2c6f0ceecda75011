// SPDX-License-Identifier: Apache-2.0
// Runs the inputs of a directory, without libFuzzer: what was found once stays mended.
#include "fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#define INPUT_BYTES (1 << 20)

static char name[4096];

static void on_abort(int number)
{
	(void)number;
	static const char text[] = "the input was ";
	if (write(STDERR_FILENO, text, sizeof text - 1) < 0 || write(STDERR_FILENO, name, strlen(name)) < 0 ||
		write(STDERR_FILENO, "\n", 1) < 0)
		_exit(2);
}

static bool run_file(void)
{
	static uint8_t bytes[INPUT_BYTES];
	FILE *file = fopen(name, "re");
	if (!file) {
		perror(name);
		return false;
	}
	size_t size = fread(bytes, 1, sizeof bytes, file);
	fclose(file);
	// Memory of its size alone, so that a sanitizer sees who reads past its end.
	uint8_t *input = malloc(size + 1);
	MUST(input);
	memcpy(input, bytes, size);
	LLVMFuzzerTestOneInput(input, size);
	free(input);
	return true;
}

int main(int count, char **arguments)
{
	unsigned passed = 0, failed = 0;
	DIR *directory = count == 2 ? opendir(arguments[1]) : NULL;
	if (!directory) {
		fprintf(stderr, "usage: %s CORPUS\n", *arguments);
		return 2;
	}
	signal(SIGABRT, on_abort);
	for (struct dirent *entry; (entry = readdir(directory));) {
		if (*entry->d_name == '.')
			continue;
		snprintf(name, sizeof name, "%s/%s", arguments[1], entry->d_name);
		if (run_file())
			passed++;
		else
			failed++;
	}
	closedir(directory);
	printf("%u passed, %u failed\n", passed, failed);
	return failed > 0 || passed == 0;
}
