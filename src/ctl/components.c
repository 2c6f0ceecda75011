// SPDX-License-Identifier: Apache-2.0
#include "components.h"

#include <errno.h>
#include <stdlib.h>

#define YELLOW "\033[33m"
#define PLAIN "\033[0m"

static const struct table_column columns[] = {
	{"component", "COMPONENT", TABLE_TEXT, TABLE_CUT},
	{"role", "ROLE", TABLE_TEXT, 0},
	{"leader", "LEADER", TABLE_TEXT, TABLE_CUT},
	{"term", "TERM", TABLE_NUMBER, 0},
	{"since_ms", "SINCE", TABLE_DURATION, 0},
	{"ttl_ms", "VALID", TABLE_DURATION, 0},
	{"worker", "WORKER", TABLE_TEXT, 0},
	{"workers", NULL, TABLE_NUMBER, 0},
	{"store", "STORE", TABLE_TEXT, 0},
	{"error", NULL, TABLE_TEXT, 0},
	{"node", NULL, TABLE_TEXT, 0},
	{"group", "GROUP", TABLE_TEXT, TABLE_CUT | TABLE_OPTIONAL},
	{"paused", NULL, TABLE_TEXT, 0},
	{"candidates", "CANDIDATES", TABLE_CANDIDATES, TABLE_CUT},
	{"reason", NULL, TABLE_TEXT, 0},
	{"message", NULL, TABLE_TEXT, 0},
};

// A sentence needs a line of its own.
static const struct table_column message_columns[] = {
	{"component", "COMPONENT", TABLE_TEXT, TABLE_CUT},
	{"message", "MESSAGE", TABLE_TEXT, TABLE_CUT},
};

int components_new(struct components **ret, enum ctl_format format, bool colors)
{
	struct components *new = calloc(1, sizeof *new);
	if (!new)
		return -ENOMEM;
	new->format = format;
	new->colors = colors;
	int error =
		table_new(&new->table, &(struct table_setup){"components", columns, COUNT_OF(columns), format, colors});
	if (error == 0)
		error = table_new(&new->messages,
			&(struct table_setup){"messages", message_columns, COUNT_OF(message_columns), format, colors});
	if (error < 0) {
		components_free(new);
		return error;
	}
	*ret = new;
	return 0;
}

void components_free(struct components *components)
{
	if (!components)
		return;
	table_free(components->table);
	table_free(components->messages);
	free(components);
}

int components_add(struct components *components, const struct line *line)
{
	bool leaderless = *line_text(line, "leader") == '\0';
	components->count++;
	components->leaderless += leaderless;
	if (name_is_valid(line_text(line, "paused")))
		snprintf(components->paused, sizeof components->paused, "%s", line_text(line, "paused"));
	int error = table_add(components->table, line, leaderless ? "red" : NULL);
	if (error < 0 || *line_text(line, "message") == '\0')
		return error;
	components->message_count++;
	return table_add(components->messages, line, NULL);
}

static void print_pause(const struct components *components, FILE *out)
{
	if (components->paused[0] == '\0')
		return;
	fprintf(out, "%spaused through %s: leaders stay, nobody new is elected%s\n", components->colors ? YELLOW : "",
		components->paused, components->colors ? PLAIN : "");
}

int components_print(struct components *components, FILE *out, size_t width)
{
	if (components->format == CTL_TEXT)
		print_pause(components, out);
	int error = table_print(components->table, out, width);
	if (error < 0 || components->format == CTL_JSON || components->message_count == 0)
		return error;
	fputc('\n', out);
	return table_print(components->messages, out, width);
}
