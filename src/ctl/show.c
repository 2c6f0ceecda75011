// SPDX-License-Identifier: Apache-2.0
#include "show.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void show_duration(char ret_text[static SHOW_SIZE], int64_t ms)
{
	if (ms < 60 * 1000)
		snprintf(ret_text, SHOW_SIZE, "%" PRId64 ".%" PRId64 "s", ms / 1000, ms % 1000 / 100);
	else if (ms < 3600 * 1000)
		snprintf(ret_text, SHOW_SIZE, "%" PRId64 "m %02" PRId64 "s", ms / 60000, ms / 1000 % 60);
	else if (ms < 48 * 3600 * 1000)
		snprintf(ret_text, SHOW_SIZE, "%" PRId64 "h %02" PRId64 "m", ms / 3600000, ms / 60000 % 60);
	else
		snprintf(ret_text, SHOW_SIZE, "%" PRId64 "d %02" PRId64 "h", ms / 86400000, ms / 3600000 % 24);
}

void show_date(char ret_text[static SHOW_SIZE], int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm utc;
	gmtime_r(&seconds, &utc);
	size_t size = strftime(ret_text, SHOW_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(ret_text + size, SHOW_SIZE - size, ".%03dZ", (int)(wall_ms % 1000));
}

void show_plainly(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == '\177')
			*text = ' ';
}

// Cuts ":NUMBER" off the end of `text`; false where there is none.
static bool cut_number(char *text, int64_t least, int64_t *ret)
{
	char *colon = strrchr(text, ':'), *end;
	if (!colon || colon[1] == '\0')
		return false;
	errno = 0;
	*ret = strtoll(colon + 1, &end, 10);
	if (*end != '\0' || errno != 0 || *ret < least)
		return false;
	*colon = '\0';
	return true;
}

// From the right, for a node's name may hold a colon.
static bool parse_candidate(const char *text, size_t size, struct candidate *ret)
{
	char copy[NAME_BYTES + 2 * SHOW_SIZE];
	if (size >= sizeof copy)
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	if (!cut_number(copy, INT64_MIN, &ret->priority) || !cut_number(copy, 0, &ret->seen_ms) || !name_is_valid(copy))
		return false;
	snprintf(ret->node, sizeof ret->node, "%.*s", NAME_BYTES, copy);
	return true;
}

bool candidates_next(const char **list, struct candidate *ret)
{
	while (**list != '\0') {
		const char *text = *list;
		size_t size = strcspn(text, ",");
		*list = text + size + (text[size] == ',');
		if (parse_candidate(text, size, ret))
			return true;
	}
	return false;
}

char *candidates_text(const char *list)
{
	struct candidate candidate;
	const char *separator = "";
	char *text = NULL, seen[SHOW_SIZE];
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	while (candidates_next(&list, &candidate)) {
		show_duration(seen, candidate.seen_ms);
		fprintf(out, "%s%s %s", separator, candidate.node, seen);
		separator = ", ";
	}
	if (*separator == '\0')
		fputc('-', out);
	return fclose(out) == 0 ? text : NULL;
}

char *candidates_json(const char *list)
{
	struct candidate candidate;
	const char *separator = "";
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	fputc('[', out);
	// A node's name needs no quoting.
	while (candidates_next(&list, &candidate)) {
		fprintf(out, "%s{\"node\":\"%s\",\"seen_ms\":%" PRId64 ",\"priority\":%" PRId64 "}", separator,
			candidate.node, candidate.seen_ms, candidate.priority);
		separator = ",";
	}
	fputc(']', out);
	return fclose(out) == 0 ? text : NULL;
}
