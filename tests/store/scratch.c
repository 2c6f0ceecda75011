// SPDX-License-Identifier: Apache-2.0
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>

bool scratch_directory(char ret[static SCRATCH_SIZE], const char *name)
{
	const char *place = getenv("TMPDIR");
	int length = snprintf(ret, SCRATCH_SIZE, "%s/tenure-%s-XXXXXX", place ? place : "/tmp", name);
	return length < SCRATCH_SIZE && mkdtemp(ret);
}
