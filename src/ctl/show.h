// SPDX-License-Identifier: Apache-2.0
// How times and candidates are written, for people and for programs.
#ifndef TENURE_SHOW_H
#define TENURE_SHOW_H

#include "base.h"

#define SHOW_SIZE 48

// "0.4s", "3m 05s", "2h 10m", "3d 04h".
void show_duration(char ret_text[static SHOW_SIZE], int64_t ms);
// "2026-01-31T12:00:00.123Z", of milliseconds since 1970.
void show_date(char ret_text[static SHOW_SIZE], int64_t wall_ms);

// Blanks for what could move the cursor: what others say may hold anything.
void show_plainly(char *text);

// A node on which a worker waits to lead.
struct candidate {
	char node[NAME_BYTES + 1];
	int64_t seen_ms; // since it was last seen
	int64_t priority;
};

// Takes the next one off a list of NODE:SEEN_MS:PRIORITY,… and moves `*list` on. False: none is left.
// What is no candidate is passed over.
bool candidates_next(const char **list, struct candidate *ret);
// "b 0.4s, c 1.2s", or "-". NULL: no memory; the caller frees.
char *candidates_text(const char *list);
// An array of objects with node, seen_ms and priority.
char *candidates_json(const char *list);

#endif
