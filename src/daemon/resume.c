// SPDX-License-Identifier: Apache-2.0
// Going on where a daemon that was killed left off (S5): all that its page shows checks out, or nothing is resumed.
#include "agent_internal.h"

#include "array.h"
#include "clock.h"
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int find_lease(const struct agent *agent, uint32_t slot, uint32_t *ret)
{
	for (uint32_t i = 0; i < agent->election.lease_count; i++) {
		if (agent->slots[i] != (int)slot)
			continue;
		*ret = i;
		return 0;
	}
	return -ENOENT;
}

// What others wait before they kill the session is in its row, so a lease of another length is no lease to go on with.
static int check_session(const struct agent *agent, const struct page_session *session, char why[static PAGE_WHY_SIZE])
{
	const struct config *config = agent->setup.config;
	if (strcmp(session->node, config->node) != 0) {
		snprintf(why, PAGE_WHY_SIZE, "it was node %s", session->node);
		return -ESTALE;
	}
	if (session->lease_ms != config->store.lease_ns / NS_PER_MS) {
		snprintf(why, PAGE_WHY_SIZE, "its lease was %" PRId64 " ms", session->lease_ms);
		return -ESTALE;
	}
	return 0;
}

// Also where a group has the name now: its lease is another one, and nothing is resumed.
static bool is_configured(const struct config *config, const char *component)
{
	for (size_t i = 0; i < config->component_count; i++)
		if (strcmp(config->components[i].name, component) == 0 ||
			strcmp(config_lease_name(config, i), component) == 0)
			return true;
	return false;
}

static int add_removed(struct config *config, const char *component)
{
	struct config_component removed = {.name = strdup(component), .removed = true};
	if (!removed.name || array_grow(&config->components, config->component_count + 1, sizeof removed) < 0) {
		free(removed.name);
		return -ENOMEM;
	}
	config->components[config->component_count++] = removed;
	log_warning("removed", log_text("component", component),
		log_text("does", "it leads, is in the configuration no more, and is revoked"));
	return 0;
}

int agent_keep_leading(struct config *config, const struct page *page)
{
	int64_t now = clock_now_ns();
	char why[PAGE_WHY_SIZE];
	const char *component;
	struct page_term term;
	for (uint32_t slot = 0; slot < page_slot_count(page); slot++) {
		bool leads =
			page_get(page, slot, now, &component, &term, why) == 0 && term.term != 0 && term.deadline > now;
		if (!leads || is_configured(config, component) || config->component_count == CONFIG_COMPONENTS_MAX)
			continue;
		int error = add_removed(config, component);
		if (error < 0)
			return error;
	}
	return 0;
}

// Every live term must be of a configured component, or of one that agent_keep_leading() had room for.
static int check_terms(const struct agent *agent, int64_t now, uint32_t *ret_count, char why[static PAGE_WHY_SIZE])
{
	const struct page *page = agent->setup.runtime->page;
	uint32_t count = 0, lease;
	for (uint32_t slot = 0; slot < page_slot_count(page); slot++) {
		const char *component;
		struct page_term term;
		int error = page_get(page, slot, now, &component, &term, why);
		if (error == -ENOENT)
			continue;
		if (error < 0)
			return error;
		if (term.term == 0 || term.deadline <= now)
			continue;
		if (find_lease(agent, slot, &lease) < 0) {
			snprintf(why, PAGE_WHY_SIZE, "%s leads and is not configured any more", component);
			return -ESTALE;
		}
		if (!page_is_of(page, slot, config_lease_name(agent->setup.config, agent->leases[lease].head))) {
			snprintf(why, PAGE_WHY_SIZE, "%s leads by the lease of another group", component);
			return -ESTALE;
		}
		count++;
	}
	*ret_count = count;
	return 0;
}

static bool take_term(struct agent *agent, uint32_t slot, int64_t now)
{
	char why[PAGE_WHY_SIZE];
	const char *component;
	struct page_term term;
	uint32_t lease;
	if (page_get(agent->setup.runtime->page, slot, now, &component, &term, why) < 0 || term.term == 0 ||
		term.deadline <= now || find_lease(agent, slot, &lease) < 0)
		return false;
	struct election_token token = {
		.term = term.term,
		.deadline = term.deadline,
		.revoked = (term.flags & PAGE_REVOKED) != 0,
		.started = (term.flags & PAGE_STARTED) != 0,
	};
	if (!election_resume_term(&agent->election, lease, &token))
		return false;
	log_info("resumed", log_text("component", component), log_uint("term", term.term),
		log_ms("left_ms", term.deadline - now));
	return true;
}

static int check(struct agent *agent, int64_t now, uint32_t *ret_count, char why[static PAGE_WHY_SIZE])
{
	int error = page_get_session(agent->setup.runtime->page, now, &agent->shown, why);
	if (error == 0)
		error = check_session(agent, &agent->shown, why);
	if (error == 0)
		error = check_terms(agent, now, ret_count, why);
	return error;
}

void agent_resume(struct agent *agent, int64_t now)
{
	struct page *page = agent->setup.runtime->page;
	char why[PAGE_WHY_SIZE] = "";
	uint32_t count = 0;
	int error = check(agent, now, &count, why);
	if (error < 0 && error != -ENOENT)
		log_warning("not-resumed", log_text("reason", why));
	for (uint32_t slot = 0; slot < page_slot_count(page); slot++)
		if (error < 0 || !take_term(agent, slot, now))
			page_set(page, slot, &(struct page_term){0});
	for (uint32_t i = 0; i < agent->election.lease_count; i++)
		agent->leading += election_head(&agent->election, i)->state == LEASE_LEADING;
	if (error == 0) {
		election_resume_session(&agent->election, &agent->shown.id);
		agent->told_session = agent->shown.id;
		agent->told_session_state = agent->election.session_state;
		log_info(
			"session-resumed", log_uint("terms", count), log_ms("left_ms", agent->shown.valid_until - now));
		return;
	}
	agent->shown = (struct page_session){0};
	page_set_session(page, NULL);
}
