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

static bool add_candidate(struct store_answer *answer, const struct exchange_candidate *candidate)
{
	struct exchange_reply *reply = answer->reply;
	if (reply->candidate_count == answer->candidate_room) {
		size_t room = answer->candidate_room ? 2 * answer->candidate_room : ROOM_FIRST;
		struct exchange_candidate *larger = realloc(answer->candidates, room * sizeof *larger);
		if (!larger)
			return false;
		answer->candidates = larger;
		answer->candidate_room = room;
		reply->candidates = larger;
	}
	answer->candidates[reply->candidate_count++] = *candidate;
	return true;
}

// "lease=priority"
static bool take_offer(struct store_answer *answer, const struct store_names *names,
	const struct exchange_candidate *session, const char *text, size_t size, uint32_t *last)
{
	const char *equals = memchr(text, '=', size);
	char *end = NULL;
	long priority = equals ? strtol(equals + 1, &end, 10) : 0;
	bool number =
		equals && end == text + size && end > equals + 1 && priority >= INT32_MIN && priority <= INT32_MAX;
	if (!number || !find_name(names, text, (size_t)(equals - text), last))
		return true;
	struct exchange_candidate candidate = *session;
	candidate.lease = *last;
	candidate.priority = (int32_t)priority;
	return add_candidate(answer, &candidate);
}

// "component>lease"
static bool take_home(struct store_answer *answer, const struct store_names *names,
	const struct exchange_candidate *session, const char *text, size_t size, uint32_t *last)
{
	const char *lease = memchr(text, '>', size);
	const struct store_home *home = lease ? find_home(names, text, (size_t)(lease - text), last) : NULL;
	uint32_t head = UINT32_MAX;
	if (!home || is_text(home->lease, lease + 1, size - (size_t)(lease + 1 - text)) ||
		!find_name(names, home->lease, strlen(home->lease), &head))
		return true;
	struct exchange_candidate candidate = *session;
	candidate.lease = head;
	candidate.disputes = true;
	return add_candidate(answer, &candidate);
}

bool store_take_offers(struct store_answer *answer, const struct store_names *names,
	const struct exchange_candidate *session, const char *text)
{
	uint32_t last_offer = UINT32_MAX, last_home = UINT32_MAX;
	if (uuid_is_none(&session->session) || names->count == 0)
		return true;
	while (*text) {
		size_t size = strcspn(text, " ");
		if (!take_offer(answer, names, session, text, size, &last_offer) ||
			!take_home(answer, names, session, text, size, &last_home))
			return false;
		text += size;
		text += strspn(text, " ");
	}
	return true;
}
