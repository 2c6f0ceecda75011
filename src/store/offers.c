// SPDX-License-Identifier: Apache-2.0
// What a session offers, as the text in its row.
#include "driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PRIORITY_TEXT 16
#define ROOM_FIRST 64

static const struct store_home *home_of(const struct store_names *names, size_t i)
{
	return names->home && names->home[i].component ? &names->home[i] : NULL;
}

static size_t text_room(const struct exchange_request *request, const struct store_names *names)
{
	size_t size = 1;
	for (size_t i = 0; i < request->offer_count; i++)
		size += strlen(names->name[request->offers[i].lease]) + PRIORITY_TEXT;
	for (size_t i = 0; i < names->count; i++)
		if (home_of(names, i))
			size += strlen(home_of(names, i)->component) + strlen(home_of(names, i)->lease) + strlen(" >");
	return size;
}

char *store_offers_text(const struct exchange_request *request, const struct store_names *names)
{
	size_t size = text_room(request, names);
	char *text = malloc(size), *end = text;
	if (!text)
		return NULL;
	*end = '\0';
	for (size_t i = 0; i < request->offer_count; i++)
		end += snprintf(end, size - (size_t)(end - text), "%s%s=%" PRId32, i ? " " : "",
			names->name[request->offers[i].lease], request->offers[i].priority);
	for (size_t i = 0; i < names->count; i++) {
		const struct store_home *home = home_of(names, i);
		if (home)
			end += snprintf(end, size - (size_t)(end - text), "%s%s>%s", end > text ? " " : "",
				home->component, home->lease);
	}
	return text;
}

static bool is_text(const char *name, const char *text, size_t size)
{
	return name && strncmp(name, text, size) == 0 && name[size] == '\0';
}

// The names come in the order in which all daemons have them, mostly: the search goes on where the last one ended.
static bool find_name(const struct store_names *names, const char *name, size_t size, uint32_t *last)
{
	for (size_t i = 0; i < names->count; i++) {
		size_t at = (*last + 1 + i) % names->count;
		if (!is_text(names->name[at], name, size))
			continue;
		*last = (uint32_t)at;
		return true;
	}
	return false;
}

// The same of a component.
static const struct store_home *find_home(
	const struct store_names *names, const char *component, size_t size, uint32_t *last)
{
	for (size_t i = 0; names->home && i < names->count; i++) {
		size_t at = (*last + 1 + i) % names->count;
		if (!is_text(names->home[at].component, component, size))
			continue;
		*last = (uint32_t)at;
		return &names->home[at];
	}
	return NULL;
}

// The array with room for one more, or NULL.
static void *with_room(void *array, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return array;
	size_t more = *room ? 2 * *room : ROOM_FIRST;
	void *larger = reallocarray(array, more, size);
	if (larger)
		*room = more;
	return larger;
}

static bool add_offerer(struct store_answer *answer, const struct exchange_offerer *offerer)
{
	struct exchange_reply *reply = answer->reply;
	struct exchange_offerer *offerers =
		with_room(answer->offerers, reply->offerer_count, &answer->offerer_room, sizeof *offerers);
	if (!offerers)
		return false;
	reply->offerers = answer->offerers = offerers;
	answer->offerers[reply->offerer_count++] = *offerer;
	return true;
}

// Of the session that was added last.
static bool add_candidate(struct store_answer *answer, uint32_t lease, int32_t priority, bool disputes)
{
	struct exchange_reply *reply = answer->reply;
	struct exchange_candidate *candidates =
		with_room(answer->candidates, reply->candidate_count, &answer->candidate_room, sizeof *candidates);
	if (!candidates)
		return false;
	reply->candidates = answer->candidates = candidates;
	answer->candidates[reply->candidate_count++] = (struct exchange_candidate){
		.lease = lease,
		.priority = priority,
		.offerer = (uint32_t)reply->offerer_count - 1,
		.disputes = disputes,
	};
	return true;
}

// "lease=priority"
static bool take_offer(
	struct store_answer *answer, const struct store_names *names, const char *text, size_t size, uint32_t *last)
{
	const char *equals = memchr(text, '=', size);
	char *end = NULL;
	long priority = equals ? strtol(equals + 1, &end, 10) : 0;
	bool number =
		equals && end == text + size && end > equals + 1 && priority >= INT32_MIN && priority <= INT32_MAX;
	if (!number || !find_name(names, text, (size_t)(equals - text), last))
		return true;
	return add_candidate(answer, *last, (int32_t)priority, false);
}

// "component>lease"
static bool take_home(
	struct store_answer *answer, const struct store_names *names, const char *text, size_t size, uint32_t *last)
{
	const char *lease = memchr(text, '>', size);
	const struct store_home *home = lease ? find_home(names, text, (size_t)(lease - text), last) : NULL;
	uint32_t head = UINT32_MAX;
	if (!home || is_text(home->lease, lease + 1, size - (size_t)(lease + 1 - text)) ||
		!find_name(names, home->lease, strlen(home->lease), &head))
		return true;
	return add_candidate(answer, head, 0, true);
}

bool store_take_offers(struct store_answer *answer, const struct store_names *names,
	const struct exchange_offerer *offerer, const char *text)
{
	uint32_t last_offer = UINT32_MAX, last_home = UINT32_MAX;
	if (uuid_is_none(&offerer->session) || names->count == 0)
		return true;
	if (!add_offerer(answer, offerer))
		return false;
	while (*text) {
		size_t size = strcspn(text, " ");
		if (!take_offer(answer, names, text, size, &last_offer) ||
			!take_home(answer, names, text, size, &last_home))
			return false;
		text += size;
		text += strspn(text, " ");
	}
	return true;
}

void store_free_offers(struct store_answer *answer)
{
	free(answer->candidates);
	free(answer->offerers);
	answer->candidates = NULL;
	answer->offerers = NULL;
}
