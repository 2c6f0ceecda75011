// SPDX-License-Identifier: Apache-2.0
// Lines of the socket protocol as a table for people or as JSON for programs, by a description of the columns.
#ifndef TENURE_TABLE_H
#define TENURE_TABLE_H

#include <stdio.h>

#include "ctl.h"
#include "line.h"

#define TABLE_COLUMNS_MAX 24

enum table_kind {
	TABLE_TEXT,
	TABLE_NUMBER,
	TABLE_DURATION,   // a number of milliseconds; 0: none
	TABLE_DATE,       // the same since 1970
	TABLE_CANDIDATES, // NODE:SEEN_MS:PRIORITY,…; an array in JSON
};

enum table_flag {
	TABLE_CUT = 1 << 0,      // to its heading's width, where the terminal is too narrow
	TABLE_OPTIONAL = 1 << 1, // left out of the text where no line has it
};

struct table_column {
	const char *key;     // in the line and in JSON
	const char *heading; // NULL: only in JSON
	enum table_kind kind;
	unsigned flags; // of enum table_flag
};

struct table_setup {
	const char *name; // of the array in JSON
	const struct table_column *columns;
	size_t count;
	enum ctl_format format;
	bool colors;
};

struct table;

// `setup` is copied, its columns are not.
int table_new(struct table **ret, const struct table_setup *setup) MUST_CHECK;
// Takes NULL.
void table_free(struct table *table);
// Adds a line. `color`: of all of it, as libsmartcols names it; NULL: none. A field that is not there is empty.
int table_add(struct table *table, const struct line *line, const char *color) MUST_CHECK;
// For a terminal of that width; 0: as wide as it gets. What does not fit even when cut is left out, from the right.
// It may be printed again.
int table_print(struct table *table, FILE *out, size_t width) MUST_CHECK;

#endif
