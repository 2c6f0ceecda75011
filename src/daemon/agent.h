// SPDX-License-Identifier: Apache-2.0
// The agent: carries fields between the election, the store, the terms page and the server. It decides nothing.
#ifndef TENURE_AGENT_H
#define TENURE_AGENT_H

#include "config.h"
#include "election.h"
#include "loop.h"
#include "page.h"
#include "runtime.h"
#include "server.h"
#include "store.h"

struct agent;

// What is pointed to outlives the agent. The page may still show the terms of a daemon that was killed: they are
// resumed, or cleared where that cannot be.
struct agent_setup {
	struct loop *loop;
	const struct config *config;
	const struct runtime *runtime;
	const struct store_driver *driver;
	const struct store_config *store;
	server_reload_fn *reload; // what a `reload` request calls; NULL: nothing
	void *reload_userdata;
	const char *config_path; // for messages
};

// A component that leads by what the page of the last daemon shows, and is in the file no more, goes on as one that
// a reload removed: it is resumed with the others, and revoked. 0 or -ENOMEM.
int agent_keep_leading(struct config *config, const struct page *page) MUST_CHECK;
// 0 or -errno after a line in the log.
int agent_new(struct agent **ret, const struct agent_setup *setup) MUST_CHECK;
// Leaves what is held to its deadline. Takes NULL.
void agent_free(struct agent *agent);

// Answers on the runtime directory's socket and takes its first step. From here on the loop's timer and turn are the
// agent's.
int agent_start(struct agent *agent) MUST_CHECK;
// Another configuration (S4) that begins with the components of the last one, as reload_merge() makes it: first room
// for it, which may fail, and then the rest. The last one is not looked at afterwards. Not in a step.
int agent_reserve(struct agent *agent, const struct config *config) MUST_CHECK;
void agent_configure(struct agent *agent, const struct config *config);
// Revokes, waits for the workers, releases, and then stops the loop.
void agent_shutdown(struct agent *agent);
// Whether it came to that.
bool agent_is_finished(const struct agent *agent);

#endif
