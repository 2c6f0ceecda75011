// SPDX-License-Identifier: Apache-2.0
// Directories of tests.
#ifndef TENURE_TESTS_STORE_SCRATCH_H
#define TENURE_TESTS_STORE_SCRATCH_H

#include <stdbool.h>

#define SCRATCH_SIZE 88

// A new one below $TMPDIR; false where it cannot be had.
bool scratch_directory(char ret[static SCRATCH_SIZE], const char *name);

#endif
