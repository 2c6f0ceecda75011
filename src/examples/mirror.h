// SPDX-License-Identifier: Apache-2.0
// Keeps a table equal to a directory, a row a file, and tells subscribers what changed: what discovery and engine do.
#ifndef MIRROR_H
#define MIRROR_H

#include "feed.h"
#include "listwatch.h"
#include "worker.h"

#define MIRROR_NAME_MAX 250
#define MIRROR_TEXT_SIZE 251
#define MIRROR_VALUES_MAX 4

struct sql;

struct mirror {
	struct work work;
	/* What it is to do, given by the program. */
	const char *clear, *remove, *insert;
	/* The values of `insert` before the term, of a file's name and its first line: how many, none: no such row. */
	int (*derive)(const char *name, char *text, const char *values[MIRROR_VALUES_MAX]);
	const char *database, *directory;
	char events[108]; /* the path of the socket */
	/* Of the present term. */
	const char *lease;
	uint64_t term;
	struct sql *sql;
	struct watch watch;
	struct feed feed;
};

/* COMPONENT DATABASE DIRECTORY SOCKETS are the arguments of both programs, the first one their name; an exit status. */
int mirror_main(struct mirror *mirror, const char *component, int argc, char *argv[]);

#endif
