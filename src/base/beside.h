// SPDX-License-Identifier: Apache-2.0
// What lies beside the running program, where both were built or installed.
#ifndef TENURE_BESIDE_H
#define TENURE_BESIDE_H

#include "base.h"

#include <limits.h>

// What a module is known by outside; NULL where nothing of the kind is linked.
#define MODULE __attribute__((weak, visibility("default")))

// The path of `name`, which may begin with "../", as seen from the directory of the running program; 0, or -errno where
// there is nothing.
int path_beside(const char *name, char ret_path[static PATH_MAX]) MUST_CHECK;

// What a module, a file of code that not every process wants in memory, calls `symbol`. It stays loaded. NULL:
// dlerror() knows why.
const void *module_load(const char *module, const char *symbol) MUST_CHECK;

#endif
