// SPDX-License-Identifier: Apache-2.0
// Another configuration under an agent that runs (S4): leases are only ever added, so what counts by them stays right.
#include "agent_internal.h"

#include "array.h"
#include "clock.h"

#include <errno.h>
#include <stdlib.h>

static int grow_arrays(struct agent *agent, size_t count)
{
	struct election *election = &agent->election;
	if (count <= agent->room)
		return 0;
	int error = array_grow(&agent->update.notes, election_notes_needed(count), sizeof *agent->update.notes);
	if (error == 0)
		error = array_grow(&agent->leases, count, sizeof *agent->leases);
	if (error == 0)
		error = array_grow(&agent->releases, count, sizeof *agent->releases);
	if (error == 0)
		error = array_grow(&agent->claims, count, sizeof *agent->claims);
	if (error == 0)
		error = array_grow(&agent->offers, count, sizeof *agent->offers);
	if (error == 0)
		error = array_grow(&agent->slots, count, sizeof *agent->slots);
	if (error == 0)
		error = metrics_reserve(&agent->metrics, count, clock_now_ns());
	if (error == 0)
		agent->room = count;
	// Those that did grow are somewhere else now.
	struct election_room room = agent_room(agent);
	election_grow(election, election->lease_count, &room);
	server_configure(agent->server, agent->setup.config, agent->slots);
	return error;
}

int agent_names_new(struct agent_names *ret, const struct config *config)
{
	size_t count = config->component_count;
	*ret = (struct agent_names){
		.names = calloc(count, sizeof *ret->names),
		.homes = calloc(count, sizeof *ret->homes),
	};
	if (!ret->names || !ret->homes)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const struct config_component *component = &config->components[i];
		ret->names[i] = config_lease_name(config, i);
		ret->homes[i].component = component->removed ? NULL : component->name;
		ret->homes[i].lease = component->group ? component->group : component->name;
	}
	return 0;
}

void agent_names_done(struct agent_names *names)
{
	free(names->names);
	free(names->homes);
}

static int name_leases(struct agent *agent, const struct config *config)
{
	struct agent_names names;
	int error = agent_names_new(&names, config);
	if (error == 0)
		error = store_set_names(agent->store, names.names, names.homes, config->component_count);
	agent_names_done(&names);
	return error;
}

int agent_reserve(struct agent *agent, const struct config *config)
{
	int error = grow_arrays(agent, config->component_count);
	if (error == 0)
		error = server_reserve(agent->server, config->component_count);
	// Rows of names that have no lease yet are passed over.
	if (error == 0)
		error = name_leases(agent, config);
	return error;
}

static void configure_lease(struct agent *agent, uint32_t lease, const struct config_component *component)
{
	struct election_lease_timing timing = agent_lease_timing(component);
	agent_step(agent, &(struct election_event){
				  .type = ELECTION_CONFIGURE,
				  .lease = lease,
				  .timing = component->removed ? NULL : &timing,
			  });
}

void agent_configure_removed(struct agent *agent)
{
	const struct config *config = agent->setup.config;
	for (uint32_t i = 0; i < config->component_count; i++)
		if (config->components[i].removed)
			configure_lease(agent, i, &config->components[i]);
}

void agent_configure(struct agent *agent, const struct config *config)
{
	const struct config *before = agent->setup.config;
	uint32_t known = agent->election.lease_count, count = (uint32_t)config->component_count;
	struct election_room room = agent_room(agent);
	election_grow(&agent->election, count, &room);
	agent_group(agent, config, known);
	agent->setup.config = config;
	agent_take_slots(agent, known);
	server_configure(agent->server, config, agent->slots);
	for (uint32_t i = 0; i < count; i++) {
		const struct config_component *now = &config->components[i];
		bool same = i < known && before->components[i].removed == now->removed &&
			    (now->removed || config_same_timing(&before->components[i], now));
		if (!same)
			configure_lease(agent, i, now);
	}
	agent->status_changed = true;
}
