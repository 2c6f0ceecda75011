// SPDX-License-Identifier: Apache-2.0
// What a session offers, as the text in its row.
#include "driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PRIORITY_TEXT 16
#define ROOM_FIRST 64

char *store_offers_text(const struct exchange_request *request, const struct store_names *names)
{
	size_t size = 1;
	for (size_t i = 0; i < request->offer_count; i++)
		size += strlen(names->name[request->offers[i].lease]) + PRIORITY_TEXT;
	char *text = malloc(size), *end = text;
	if (!text)
		return NULL;
	*end = '\0';
	for (size_t i = 0; i < request->offer_count; i++)
		end += snprintf(end, size - (size_t)(end - text), "%s%s=%" PRId32, i ? " " : "",
			names->name[request->offers[i].lease], request->offers[i].priority);
	return text;
}

// The names come in the order in which all daemons have them, mostly: the search goes on where the last one ended.
static bool find_name(const struct store_names *names, const char *name, size_t size, uint32_t *last)
{
	for (size_t i = 0; i < names->count; i++) {
		size_t at = (*last + 1 + i) % names->count;
		if (strncmp(names->name[at], name, size) != 0 || names->name[at][size] != '\0')
			continue;
		*last = (uint32_t)at;
		return true;
	}
	return false;
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

bool store_take_offers(struct store_answer *answer, const struct store_names *names,
	const struct exchange_candidate *session, const char *text)
{
	uint32_t last = UINT32_MAX;
	if (uuid_is_none(&session->session))
		return true;
	while (*text) {
		size_t size = strcspn(text, " ");
		const char *equals = memchr(text, '=', size);
		char *end = NULL;
		long priority = equals ? strtol(equals + 1, &end, 10) : 0;
		bool number = equals && end == text + size && end > equals + 1 && priority >= INT32_MIN &&
			      priority <= INT32_MAX;
		struct exchange_candidate candidate = *session;
		if (number && names->count > 0 && find_name(names, text, (size_t)(equals - text), &last)) {
			candidate.lease = last;
			candidate.priority = (int32_t)priority;
			if (!add_candidate(answer, &candidate))
				return false;
		}
		text += size;
		text += strspn(text, " ");
	}
	return true;
}
