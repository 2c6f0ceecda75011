// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <assert.h>

#define NEVER SESSION_STATES

// clang-format off
static const enum session_state table[SESSION_STATES][SESSION_EVENTS] = {
	[SESSION_NONE] = {
		[SESSION_CREATE] = SESSION_CREATING,
		[SESSION_CLOSE] = SESSION_CLOSED,
		[SESSION_ALIVE] = NEVER,
		[SESSION_DEAD] = NEVER,
		[SESSION_FAILED] = SESSION_NONE,
	},
	[SESSION_CREATING] = {
		[SESSION_CREATE] = NEVER,
		[SESSION_CLOSE] = NEVER,
		[SESSION_ALIVE] = SESSION_LIVE,
		[SESSION_DEAD] = SESSION_NONE,
		[SESSION_FAILED] = SESSION_UNSURE,
	},
	[SESSION_UNSURE] = {
		[SESSION_CREATE] = NEVER,
		[SESSION_CLOSE] = SESSION_CLOSING,
		[SESSION_ALIVE] = SESSION_LIVE,
		[SESSION_DEAD] = SESSION_NONE,
		[SESSION_FAILED] = SESSION_UNSURE,
	},
	[SESSION_LIVE] = {
		[SESSION_CREATE] = NEVER,
		[SESSION_CLOSE] = SESSION_CLOSING,
		[SESSION_ALIVE] = SESSION_LIVE,
		[SESSION_DEAD] = SESSION_NONE,
		[SESSION_FAILED] = SESSION_LIVE,
	},
	[SESSION_CLOSING] = {
		[SESSION_CREATE] = NEVER,
		[SESSION_CLOSE] = NEVER,
		[SESSION_ALIVE] = SESSION_CLOSED,
		[SESSION_DEAD] = SESSION_CLOSED,
		[SESSION_FAILED] = SESSION_CLOSED,
	},
	[SESSION_CLOSED] = {
		[SESSION_CREATE] = NEVER,
		[SESSION_CLOSE] = NEVER,
		[SESSION_ALIVE] = NEVER,
		[SESSION_DEAD] = NEVER,
		[SESSION_FAILED] = SESSION_CLOSED,
	},
};
// clang-format on

enum session_state session_next(enum session_state state, enum session_event event)
{
	assert((unsigned)state < SESSION_STATES && (unsigned)event < SESSION_EVENTS);
	return table[state][event];
}

const char *session_state_name(enum session_state state)
{
	static const char *const names[SESSION_STATES] = {
		[SESSION_NONE] = "none",
		[SESSION_CREATING] = "creating",
		[SESSION_UNSURE] = "unsure",
		[SESSION_LIVE] = "live",
		[SESSION_CLOSING] = "closing",
		[SESSION_CLOSED] = "closed",
	};
	assert((unsigned)state < SESSION_STATES);
	return names[state];
}

const char *session_event_name(enum session_event event)
{
	static const char *const names[SESSION_EVENTS] = {
		[SESSION_CREATE] = "create",
		[SESSION_CLOSE] = "close",
		[SESSION_ALIVE] = "alive",
		[SESSION_DEAD] = "dead",
		[SESSION_FAILED] = "failed",
	};
	assert((unsigned)event < SESSION_EVENTS);
	return names[event];
}
