// SPDX-License-Identifier: Apache-2.0
#include "table.h"

#include <errno.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>

#define CELL_SIZE 64

struct column {
	const char *key;     // in the row and in JSON
	const char *heading; // NULL: only in JSON
	enum { CELL_TEXT, CELL_NUMBER, CELL_TIME } kind;
};

static const struct column columns[] = {
	{"component", "COMPONENT", CELL_TEXT},
	{"role", "ROLE", CELL_TEXT},
	{"leader", "LEADER", CELL_TEXT},
	{"term", "TERM", CELL_NUMBER},
	{"since_ms", "SINCE", CELL_TIME},
	{"ttl_ms", "VALID", CELL_TIME},
	{"worker", "WORKER", CELL_TEXT},
	{"workers", NULL, CELL_NUMBER},
	{"store", "STORE", CELL_TEXT},
	{"error", NULL, CELL_TEXT},
	{"node", NULL, CELL_TEXT},
};

struct table {
	struct libscols_table *scols;
	enum ctl_format format;
};

static int add_columns(struct table *table)
{
	for (size_t i = 0; i < COUNT_OF(columns); i++) {
		const struct column *column = &columns[i];
		bool json = table->format == CTL_JSON;
		if (!json && !column->heading)
			continue;
		int flags = column->kind == CELL_TEXT ? 0 : SCOLS_FL_RIGHT;
		struct libscols_column *added =
			scols_table_new_column(table->scols, json ? column->key : column->heading, 0, flags);
		if (!added)
			return -ENOMEM;
		if (column->kind != CELL_TEXT)
			scols_column_set_json_type(added, SCOLS_JSON_NUMBER);
	}
	return 0;
}

int table_new(struct table **ret, enum ctl_format format)
{
	struct table *table = calloc(1, sizeof *table);
	if (!table)
		return -ENOMEM;
	table->format = format;
	table->scols = scols_new_table();
	int error = table->scols ? scols_table_enable_json(table->scols, format == CTL_JSON) : -ENOMEM;
	if (error == 0)
		error = scols_table_set_name(table->scols, "components");
	if (error == 0)
		error = add_columns(table);
	if (error < 0) {
		table_free(table);
		return error;
	}
	*ret = table;
	return 0;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	scols_unref_table(table->scols);
	free(table);
}

// What a person reads at a glance.
static void show_time(char cell[CELL_SIZE], int64_t ms)
{
	if (ms <= 0)
		snprintf(cell, CELL_SIZE, "-");
	else if (ms < 60 * 1000)
		snprintf(cell, CELL_SIZE, "%" PRId64 ".%" PRId64 "s", ms / 1000, ms % 1000 / 100);
	else if (ms < 3600 * 1000)
		snprintf(cell, CELL_SIZE, "%" PRId64 "m %02" PRId64 "s", ms / 60000, ms / 1000 % 60);
	else if (ms < 48 * 3600 * 1000)
		snprintf(cell, CELL_SIZE, "%" PRId64 "h %02" PRId64 "m", ms / 3600000, ms / 60000 % 60);
	else
		snprintf(cell, CELL_SIZE, "%" PRId64 "d %02" PRId64 "h", ms / 86400000, ms / 3600000 % 24);
}

static int set_cell(const struct table *table, struct libscols_line *row, size_t cell, const struct column *column,
	const struct line *line)
{
	char text[CELL_SIZE];
	int64_t number = 0;
	const char *value = line_text(line, column->key);
	bool json = table->format == CTL_JSON;
	// Numbers stay numbers whatever the daemon sends; an empty text is null in JSON.
	if (column->kind != CELL_TEXT) {
		if (line_i64(line, column->key, &number) < 0)
			number = 0;
		snprintf(text, sizeof text, "%" PRId64, number);
		if (!json && column->kind == CELL_TIME)
			show_time(text, number);
		value = text;
	} else if (*value == '\0') {
		value = json ? NULL : "-";
	}
	return scols_line_set_data(row, cell, value);
}

int table_add(struct table *table, const struct line *line)
{
	struct libscols_line *row = scols_table_new_line(table->scols, NULL);
	if (!row)
		return -ENOMEM;
	size_t cell = 0;
	for (size_t i = 0; i < COUNT_OF(columns); i++) {
		if (table->format != CTL_JSON && !columns[i].heading)
			continue;
		int error = set_cell(table, row, cell++, &columns[i], line);
		if (error < 0)
			return error;
	}
	return 0;
}

int table_print(struct table *table)
{
	int error = scols_print_table(table->scols);
	if (error == 0 && (fflush(stdout) != 0 || ferror(stdout)))
		error = -EIO;
	return error;
}
