// SPDX-License-Identifier: Apache-2.0
// Who else would lead, as the store told last (W20).
#include "server_internal.h"

#include "clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

// Some 31 years.
#define AGE_MAX_US (1000000000 * (NS_PER_S / NS_PER_US))

static int compare_nodes(const void *a, const void *b)
{
	const struct server_candidate *one = a, *other = b;
	if (one->lease != other->lease)
		return one->lease < other->lease ? -1 : 1;
	int order = strcmp(one->node, other->node);
	return order != 0 ? order : (one->seen_at < other->seen_at) - (one->seen_at > other->seen_at);
}

static int compare_ages(const void *a, const void *b)
{
	const struct server_candidate *one = a, *other = b;
	if (one->lease != other->lease)
		return one->lease < other->lease ? -1 : 1;
	if (one->seen_at != other->seen_at)
		return one->seen_at > other->seen_at ? -1 : 1;
	return strcmp(one->node, other->node);
}

// A node that was killed and came back may have its last session there still: the freshest counts.
static size_t drop_doubles(struct server_candidate *candidates, size_t count)
{
	size_t kept = 0;
	qsort(candidates, count, sizeof *candidates, compare_nodes);
	for (size_t i = 0; i < count; i++) {
		const struct server_candidate *last = kept > 0 ? &candidates[kept - 1] : NULL;
		if (!last || last->lease != candidates[i].lease || strcmp(last->node, candidates[i].node) != 0)
			candidates[kept++] = candidates[i];
	}
	return kept;
}

static size_t drop_oldest(struct server_candidate *candidates, size_t count)
{
	size_t kept = 0, of_lease = 0;
	qsort(candidates, count, sizeof *candidates, compare_ages);
	for (size_t i = 0; i < count; i++) {
		of_lease = i > 0 && candidates[i].lease == candidates[i - 1].lease ? of_lease + 1 : 0;
		if (of_lease < SERVER_CANDIDATES)
			candidates[kept++] = candidates[i];
	}
	return kept;
}

// By the server's clock, which may say anything.
static int64_t age_ns(const struct exchange_candidate *candidate)
{
	int64_t age_us = candidate->age_us < AGE_MAX_US ? candidate->age_us : AGE_MAX_US;
	return age_us > 0 ? age_us * NS_PER_US : 0;
}

static size_t copy_others(const struct server *server, const struct exchange_reply *reply, struct server_candidate *ret)
{
	int64_t now = clock_now_ns();
	size_t count = 0;
	for (size_t i = 0; i < reply->candidate_count; i++) {
		const struct exchange_candidate *c = &reply->candidates[i];
		bool here = strcmp(c->node, server->setup.config->node) == 0;
		// What is no name did not come from a daemon.
		if (here || c->disputes || !name_is_valid(c->node) || c->lease >= server_component_count(server))
			continue;
		struct server_candidate *copy = &ret[count++];
		*copy = (struct server_candidate){.lease = c->lease, .priority = c->priority};
		copy->seen_at = now - age_ns(c);
		memcpy(copy->node, c->node, sizeof copy->node);
	}
	return count;
}

void server_take_candidates(struct server *server, const struct exchange_reply *reply)
{
	struct server_candidate *candidates = calloc(reply->candidate_count + 1, sizeof *candidates);
	size_t count = candidates ? copy_others(server, reply, candidates) : 0;
	free(server->candidates);
	server->candidates = candidates;
	count = candidates ? drop_doubles(candidates, count) : 0;
	server->candidate_count = candidates ? drop_oldest(candidates, count) : 0;
	// Many are dropped: their room is given back.
	candidates = reallocarray(candidates, server->candidate_count + 1, sizeof *candidates);
	server->candidates = candidates ? candidates : server->candidates;
}

const struct server_candidate *server_candidates(const struct server *server, uint32_t lease, size_t *ret_count)
{
	uint32_t head = server->setup.election->leases[lease].head;
	size_t first = 0, end = server->candidate_count;
	while (first < end) {
		size_t middle = first + (end - first) / 2;
		if (server->candidates[middle].lease < head)
			first = middle + 1;
		else
			end = middle;
	}
	size_t count = 0;
	while (first + count < server->candidate_count && server->candidates[first + count].lease == head)
		count++;
	*ret_count = count;
	return count > 0 ? &server->candidates[first] : NULL;
}

void candidates_format(const struct server *server, uint32_t lease, char ret_text[static CANDIDATES_TEXT_SIZE])
{
	size_t count, used = 0;
	const struct server_candidate *candidates = server_candidates(server, lease, &count);
	int64_t now = clock_now_ns();
	ret_text[0] = '\0';
	for (size_t i = 0; i < count; i++)
		used += (size_t)snprintf(ret_text + used, CANDIDATES_TEXT_SIZE - used, "%s%s:%" PRId64 ":%" PRId32,
			i > 0 ? "," : "", candidates[i].node, whole_ms(now - candidates[i].seen_at),
			candidates[i].priority);
}
