// SPDX-License-Identifier: Apache-2.0
// What the parts of the agent share: agent.c (steps), journal.c (what is logged of them), resume.c
// and configure.c.
#ifndef TENURE_AGENT_INTERNAL_H
#define TENURE_AGENT_INTERNAL_H

#include "agent.h"
#include "http.h"
#include "metrics.h"
#include "server.h"

struct agent {
	struct agent_setup setup;
	struct election election;
	struct election_update update;
	struct election_lease *leases;
	struct exchange_release *releases;
	struct exchange_claim *claims;
	struct exchange_offer *offers;
	int *slots;
	size_t room;               // of these arrays, in leases
	struct page_session shown; // as the page has it; id none: nothing
	struct store *store;
	struct loop_watch *store_watch;
	struct server *server;
	struct http *http; // NULL: none
	struct metrics metrics;
	struct history history;
	char store_text[EXCHANGE_TEXT_SIZE]; // what is wrong with the store, or ""
	enum exchange_outcome told_outcome;  // the last one that was not logged quietly
	struct uuid told_session;            // the one that the log knows of, and its state there
	enum session_state told_session_state;
	int64_t reported_at;
	int64_t answered_at;          // when an exchange was last answered with OK; 0: not yet
	int64_t watchdog_interval_ns; // INT64_MAX: none
	int64_t watchdog_at;
	uint32_t leading;
	bool status_changed;
	bool stepping;
	bool finished;
};

static inline const char *agent_component(const struct agent *agent, uint32_t lease)
{
	return agent->setup.config->components[lease].name;
}

static inline struct election_room agent_room(const struct agent *agent)
{
	return (struct election_room){agent->leases, agent->releases, agent->claims, agent->offers};
}

// agent.c: steps the election and carries out what it says.
void agent_step(struct agent *agent, const struct election_event *event);
// Slots of the terms page for the leases from `first` on; -1 where there is none left.
void agent_take_slots(struct agent *agent, size_t first);
// Tells the election which of the leases from `first` on share another one's (W19).
void agent_group(struct agent *agent, const struct config *config, size_t first);
struct election_lease_timing agent_lease_timing(const struct config_component *component);

// What the store is told of the components, in their order.
struct agent_names {
	const char **names;
	struct store_home *homes;
};

// configure.c
int agent_names_new(struct agent_names *ret, const struct config *config) MUST_CHECK;
void agent_names_done(struct agent_names *names);
// Tells the election which leases are there only until they are released.
void agent_configure_removed(struct agent *agent);

// journal.c: one line a transition (W26).
void journal_note(struct agent *agent, const struct election_note *note);

// resume.c: hands what the page still shows to the election, and clears what it does not take.
void agent_resume(struct agent *agent, int64_t now);

#endif
