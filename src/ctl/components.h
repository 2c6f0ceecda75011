// SPDX-License-Identifier: Apache-2.0
// What the daemon says of the components, as `status` and `watch` show it (W20).
#ifndef TENURE_COMPONENTS_H
#define TENURE_COMPONENTS_H

#include "table.h"

struct components {
	struct table *table;
	struct table *messages;
	enum ctl_format format;
	bool colors;
	char paused[NAME_BYTES + 1]; // through which node; "": the fleet is not paused
	unsigned count;
	unsigned leaderless;
	unsigned message_count;
};

int components_new(struct components **ret, enum ctl_format format, bool colors) MUST_CHECK;
// Takes NULL.
void components_free(struct components *components);
// Adds a `row` line.
int components_add(struct components *components, const struct line *line) MUST_CHECK;
// For a terminal of that width; 0: as wide as it gets.
int components_print(struct components *components, FILE *out, size_t width) MUST_CHECK;

#endif
