// SPDX-License-Identifier: Apache-2.0
#include "beside.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int path_beside(const char *name, char ret_path[static PATH_MAX])
{
	ssize_t size = readlink("/proc/self/exe", ret_path, PATH_MAX - 1);
	if (size < 0)
		return -errno;
	ret_path[size] = '\0';
	char *slash = strrchr(ret_path, '/');
	size_t length = strlen(name) + 1;
	if (!slash || (size_t)(slash + 1 - ret_path) + length > PATH_MAX)
		return -ENOENT;
	memcpy(slash + 1, name, length);
	return access(ret_path, F_OK) < 0 ? -errno : 0;
}

// $ORIGIN would be the directory of whoever calls dlopen() for us, which a sanitizer does.
const void *module_load(const char *module, const char *symbol)
{
	static const char *const places[] = {"modules", "../lib/tenure"};
	char file[2 * NAME_BYTES], path[PATH_MAX] = "";
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		snprintf(file, sizeof file, "%s/%s.so", places[i], module);
		if (path_beside(file, path) == 0)
			break;
	}
	void *loaded = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	return loaded ? dlsym(loaded, symbol) : NULL;
}
