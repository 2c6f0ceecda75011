// SPDX-License-Identifier: Apache-2.0
#include "table.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <stdlib.h>

#include "show.h"

struct table {
	struct table_setup setup;
	struct libscols_table *scols;
	struct column {
		struct libscols_column *scols; // NULL: not shown in this format
		int flags;
		size_t needed; // the least width
		size_t wanted; // the whole one
		bool is_used;
		bool is_shown; // in the text that is printed
	} columns[TABLE_COLUMNS_MAX];
};

static bool is_json(const struct table *table)
{
	return table->setup.format == CTL_JSON;
}

static int add_column(struct table *table, struct column *column, const struct table_column *wanted)
{
	bool is_text = wanted->kind == TABLE_TEXT, is_number = !is_text && wanted->kind != TABLE_CANDIDATES;
	if (!is_json(table) && !wanted->heading)
		return 0;
	column->flags = (is_number ? SCOLS_FL_RIGHT : 0) | (wanted->flags & TABLE_CUT ? SCOLS_FL_TRUNC : 0);
	column->needed = column->wanted = wanted->heading ? strlen(wanted->heading) : 0;
	column->scols =
		scols_table_new_column(table->scols, is_json(table) ? wanted->key : wanted->heading, 0, column->flags);
	if (!column->scols)
		return -ENOMEM;
	// A "number" is printed as it is, which is how an array of objects gets in.
	return is_text ? 0 : scols_column_set_json_type(column->scols, SCOLS_JSON_NUMBER);
}

static int fill(struct table *table)
{
	table->scols = scols_new_table();
	if (!table->scols)
		return -ENOMEM;
	int error = scols_table_enable_json(table->scols, is_json(table));
	if (error == 0)
		error = scols_table_enable_colors(table->scols, table->setup.colors && !is_json(table));
	if (error == 0)
		error = scols_table_set_name(table->scols, table->setup.name);
	for (size_t i = 0; i < table->setup.count && error == 0; i++)
		error = add_column(table, &table->columns[i], &table->setup.columns[i]);
	return error;
}

int table_new(struct table **ret, const struct table_setup *setup)
{
	assert(setup->count <= TABLE_COLUMNS_MAX);
	struct table *table = calloc(1, sizeof *table);
	if (!table)
		return -ENOMEM;
	table->setup = *setup;
	int error = fill(table);
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

// Numbers stay numbers whatever the daemon sends.
static char *number_text(enum table_kind kind, int64_t number, bool json)
{
	char text[SHOW_SIZE];
	snprintf(text, sizeof text, "%" PRId64, number);
	if (!json && kind != TABLE_NUMBER && number <= 0)
		return strdup("-");
	if (!json && kind == TABLE_DURATION)
		show_duration(text, number);
	if (!json && kind == TABLE_DATE)
		show_date(text, number);
	return strdup(text);
}

// What stands in the cell; an empty text is null in JSON. NULL: no memory.
static char *cell_text(const struct table *table, enum table_kind kind, const struct line *line, const char *key)
{
	const char *value = line_text(line, key);
	bool json = is_json(table);
	int64_t number = 0;
	if (kind == TABLE_TEXT)
		return strdup(*value == '\0' && !json ? "-" : value);
	if (kind == TABLE_CANDIDATES)
		return json ? candidates_json(value) : candidates_text(value);
	if (line_i64(line, key, &number) < 0)
		number = 0;
	return number_text(kind, number, json);
}

static int set_cell(struct table *table, struct libscols_line *row, size_t index, const struct line *line)
{
	const struct table_column *wanted = &table->setup.columns[index];
	struct column *column = &table->columns[index];
	char *text = cell_text(table, wanted->kind, line, wanted->key);
	if (!text)
		return -ENOMEM;
	size_t length = strlen(text);
	column->is_used |= *line_text(line, wanted->key) != '\0';
	if (length > column->wanted)
		column->wanted = length;
	if (!(wanted->flags & TABLE_CUT))
		column->needed = column->wanted;
	if (length == 0) {
		free(text);
		return 0;
	}
	return scols_line_refer_column_data(row, column->scols, text);
}

int table_add(struct table *table, const struct line *line, const char *color)
{
	struct libscols_line *row = scols_table_new_line(table->scols, NULL);
	int error = row ? 0 : -ENOMEM;
	if (error == 0 && color)
		error = scols_line_set_color(row, color);
	for (size_t i = 0; i < table->setup.count && error == 0; i++)
		if (table->columns[i].scols)
			error = set_cell(table, row, i, line);
	return error;
}

// Which columns are printed. Returns how much room they leave where every one has its least width.
static size_t choose_columns(struct table *table, size_t width)
{
	size_t used = 0;
	bool is_full = false;
	for (size_t i = 0; i < table->setup.count; i++) {
		struct column *column = &table->columns[i];
		bool is_left_out =
			!column->scols || (table->setup.columns[i].flags & TABLE_OPTIONAL && !column->is_used);
		size_t more = column->needed + (used > 0);
		is_full |= !is_left_out && used > 0 && used + more > width;
		column->is_shown = !is_left_out && !is_full;
		if (column->is_shown)
			used += more;
	}
	return used < width ? width - used : 0;
}

// How wide a column is where none may be wider than `level` unless it has to.
static size_t width_at(const struct column *column, size_t level)
{
	size_t wide = column->wanted < level ? column->wanted : level;
	return wide > column->needed ? wide : column->needed;
}

// The long ones give way first: the library by itself would leave all the room to the longest.
static size_t find_level(const struct table *table, size_t room, size_t width)
{
	for (size_t level = width; level > 0; level--) {
		size_t more = 0;
		for (size_t i = 0; i < table->setup.count; i++)
			if (table->columns[i].is_shown)
				more += width_at(&table->columns[i], level) - table->columns[i].needed;
		if (more <= room)
			return level;
	}
	return 0;
}

static int lay_out(struct table *table, size_t width)
{
	size_t room = choose_columns(table, width > 0 ? width : SIZE_MAX), level = find_level(table, room, width);
	int error = 0;
	for (size_t i = 0; i < table->setup.count && error == 0; i++) {
		struct column *column = &table->columns[i];
		if (!column->scols)
			continue;
		error = scols_column_set_flags(column->scols, column->flags | (column->is_shown ? 0 : SCOLS_FL_HIDDEN));
		// The library takes away from a column as long as that is not narrower than the hint.
		if (error == 0 && width > 0)
			error = scols_column_set_whint(
				column->scols, ((double)width_at(column, level) + 1.5) / (double)width);
	}
	return error;
}

int table_print(struct table *table, FILE *out, size_t width)
{
	int error = is_json(table) ? 0 : lay_out(table, width);
	if (error == 0)
		error = scols_table_set_termforce(
			table->scols, width > 0 ? SCOLS_TERMFORCE_ALWAYS : SCOLS_TERMFORCE_NEVER);
	if (error == 0 && width > 0)
		error = scols_table_set_termwidth(table->scols, width);
	if (error == 0)
		error = scols_table_set_stream(table->scols, out);
	if (error == 0)
		error = scols_print_table(table->scols);
	if (error == 0 && (fflush(out) != 0 || ferror(out)))
		error = -EIO;
	return error;
}
