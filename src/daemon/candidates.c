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
	const struct server_other *one = a, *other = b;
	int order = strcmp(one->node, other->node);
	return order != 0 ? order : (one->seen_at < other->seen_at) - (one->seen_at > other->seen_at);
}

static int compare_ages(const void *a, const void *b)
{
	const struct server_other *one = a, *other = b;
	if (one->seen_at != other->seen_at)
		return one->seen_at > other->seen_at ? -1 : 1;
	return strcmp(one->node, other->node);
}

// A node that was killed and came back may have its last session there still: the freshest counts.
static size_t drop_doubles(struct server_other *others, size_t count)
{
	size_t kept = 0;
	qsort(others, count, sizeof *others, compare_nodes);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || strcmp(others[kept - 1].node, others[i].node) != 0)
			others[kept++] = others[i];
	return kept;
}

// By the server's clock, which may say anything.
static int64_t age_ns(const struct exchange_offerer *offerer)
{
	int64_t age_us = offerer->age_us < AGE_MAX_US ? offerer->age_us : AGE_MAX_US;
	return age_us > 0 ? age_us * NS_PER_US : 0;
}

// The other nodes, the freshest first. What is no name did not come from a daemon.
static size_t copy_others(const struct server *server, const struct exchange_reply *reply, struct server_other *ret)
{
	int64_t now = clock_now_ns();
	size_t count = 0;
	for (uint32_t i = 0; i < reply->offerer_count; i++) {
		const struct exchange_offerer *offerer = &reply->offerers[i];
		if (strcmp(offerer->node, server->setup.config->node) == 0 || !name_is_valid(offerer->node))
			continue;
		struct server_other *other = &ret[count++];
		*other = (struct server_other){.seen_at = now - age_ns(offerer), .offerer = i};
		memcpy(other->node, offerer->node, sizeof other->node);
	}
	count = drop_doubles(ret, count);
	qsort(ret, count, sizeof *ret, compare_ages);
	return count;
}

// What is being made of a reply.
struct making {
	const struct exchange_reply *reply;
	const struct server_other **other_of; // each offerer's, or NULL
	struct offers offers;
};

static bool make_others(struct making *m, const struct server *server)
{
	m->other_of = calloc(m->reply->offerer_count + 1, sizeof *m->other_of);
	m->offers.others = calloc(m->reply->offerer_count + 1, sizeof *m->offers.others);
	if (!m->other_of || !m->offers.others)
		return false;
	size_t count = copy_others(server, m->reply, m->offers.others);
	for (size_t i = 0; i < count; i++)
		m->other_of[m->offers.others[i].offerer] = &m->offers.others[i];
	return true;
}

static bool counts(const struct making *m, const struct exchange_candidate *c)
{
	return !c->disputes && c->lease < m->offers.lease_count && m->other_of[c->offerer];
}

// Where each lease's begin, with room for so many.
static bool make_room(struct making *m, uint32_t lease_count)
{
	uint32_t *first = calloc((size_t)lease_count + 1, sizeof *first);
	m->offers.first = first;
	m->offers.lease_count = lease_count;
	if (!first)
		return false;
	for (size_t i = 0; i < m->reply->candidate_count; i++) {
		const struct exchange_candidate *c = &m->reply->candidates[i];
		if (counts(m, c) && first[c->lease + 1] < SERVER_CANDIDATES)
			first[c->lease + 1]++;
	}
	for (uint32_t i = 0; i < lease_count; i++)
		first[i + 1] += first[i];
	m->offers.candidates = calloc((size_t)first[lease_count] + 1, sizeof *m->offers.candidates);
	return m->offers.candidates;
}

// Each into its place among those of its lease that there are; where there is no room the oldest one goes.
static void fill_in(struct making *m)
{
	for (size_t i = 0; i < m->reply->candidate_count; i++) {
		const struct exchange_candidate *c = &m->reply->candidates[i];
		if (!counts(m, c))
			continue;
		struct server_candidate candidate = {m->other_of[c->offerer], c->priority};
		struct server_candidate *at = &m->offers.candidates[m->offers.first[c->lease]];
		struct server_candidate *end = &m->offers.candidates[m->offers.first[c->lease + 1]];
		while (at < end && at->other && at->other < candidate.other)
			at++;
		if (at < end) {
			memmove(at + 1, at, (size_t)(end - at - 1) * sizeof *at);
			*at = candidate;
		}
	}
}

void server_take_candidates(struct server *server, const struct exchange_reply *reply)
{
	struct making making = {.reply = reply};
	bool made = make_others(&making, server) && make_room(&making, (uint32_t)server_component_count(server));
	if (made)
		fill_in(&making);
	offers_free(&server->offers);
	if (made)
		server->offers = making.offers;
	else
		offers_free(&making.offers);
	free(making.other_of);
}

void offers_free(struct offers *offers)
{
	free(offers->others);
	free(offers->first);
	free(offers->candidates);
	*offers = (struct offers){0};
}

const struct server_candidate *server_candidates(const struct server *server, uint32_t lease, size_t *ret_count)
{
	const struct offers *offers = &server->offers;
	uint32_t head = server->setup.election->leases[lease].head;
	if (head >= offers->lease_count) {
		*ret_count = 0;
		return NULL;
	}
	*ret_count = offers->first[head + 1] - offers->first[head];
	return &offers->candidates[offers->first[head]];
}

void candidates_format(const struct server *server, uint32_t lease, char ret_text[static CANDIDATES_TEXT_SIZE])
{
	size_t count, used = 0;
	const struct server_candidate *candidates = server_candidates(server, lease, &count);
	int64_t now = clock_now_ns();
	ret_text[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		const struct server_other *other = candidates[i].other;
		used += (size_t)snprintf(ret_text + used, CANDIDATES_TEXT_SIZE - used, "%s%s:%" PRId64 ":%" PRId32,
			i > 0 ? "," : "", other->node, whole_ms(now - other->seen_at), candidates[i].priority);
	}
}
