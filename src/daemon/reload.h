// SPDX-License-Identifier: Apache-2.0
// Another configuration for a daemon that runs (S4): what of it can be applied, and what has to wait for a restart.
#ifndef TENURE_RELOAD_H
#define TENURE_RELOAD_H

#include "config.h"

#define RELOAD_RESTART_BYTES 512
#define RELOAD_ERROR_BYTES 768

struct reload_report {
	uint32_t added;
	uint32_t removed;
	uint32_t changed; // components that the file has other things of
	// The keys of [tenure] and [store], and the components' stop_grace that only fits to those, that are not what
	// the file says until a restart; commas between them, "" where there are none.
	char restart[RELOAD_RESTART_BYTES];
	char error[RELOAD_ERROR_BYTES]; // why nothing was applied, in one line
};

// Makes `next`, fresh from its file, one that goes on from `current`: the components of `current` are in their places,
// those that the file does not have any more are marked as removed, new ones come behind. `next` is not to be used
// before reload_keep(). 0, or -errno with report->error.
int reload_merge(const struct config *current, struct config *next, struct reload_report *report) MUST_CHECK;

// Lets `next` have what takes a restart to change as it is in `current`, which is good for nothing but config_free()
// from then on.
void reload_keep(struct config *current, struct config *next);

#endif
