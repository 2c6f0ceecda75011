// SPDX-License-Identifier: Apache-2.0
// The live table of `watch`.
#ifndef TENURE_LIVE_H
#define TENURE_LIVE_H

#include "ctl.h"
#include "dial.h"

struct live_setup {
	const char *socket_path;
	size_t count;
	char *const *components; // none: all
	enum ctl_color color;
};

// Shows the table until the user wants to leave; returns the exit status. Takes over the connection, which has greeted
// and asked for nothing.
int live_run(const struct live_setup *setup, struct dial *dial);

#endif
