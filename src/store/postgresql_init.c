// SPDX-License-Identifier: Apache-2.0
#include "postgresql_link.h"

#include "clock.h"
#include "postgresql_sql.h"
#include "postgresql_text.h"

#include <errno.h>
#include <stdlib.h>

#define INIT_TIMEOUT_NS (10 * NS_PER_S)

int pg_print_schema(const struct store_config *config, FILE *out)
{
	fputs("BEGIN;\n", out);
	if (is_given(config->schema)) {
		fputs("SET LOCAL search_path = ", out);
		pg_write_identifier(out, config->schema);
		fputs(";\n", out);
	}
	fputs("SET LOCAL client_min_messages = warning;\nDO $tenure$\n", out);
	fputs(sql_init, out);
	fputs(sql_init_2, out);
	fputs("$tenure$;\nCOMMIT;\n", out);
	return ferror(out) ? -EIO : 0;
}

static char *init_script(const struct store_config *config)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	bool failed = pg_print_schema(config, out) < 0;
	if (fclose(out) != 0 || failed) {
		free(text);
		return NULL;
	}
	return text;
}

static void run_script(struct store_link *link, struct store_answer *answer, const char *script)
{
	static const struct pg_error lost = {"", EXCHANGE_UNKNOWN, true, NULL};
	PGresult *result = NULL;
	if (!PQsendQuery(link->connection, script)) {
		pg_fail(link, answer, &lost, "the connection was lost");
		return;
	}
	do {
		PQclear(result);
		if (!pg_next_result(link, &result)) {
			pg_fail(link, answer, &lost, "no answer within the timeout");
			return;
		}
		if (result && PQresultStatus(result) != PGRES_COMMAND_OK)
			pg_fail_by_result(link, answer, result);
	} while (result);
}

int pg_init_schema(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	static const struct store_names no_names = {.count = 0};
	struct exchange_reply reply = {.outcome = EXCHANGE_OK};
	struct store_answer answer = {.reply = &reply};
	struct store_link *link;
	int error = pg_link_open(&link, config, &no_names);
	if (error < 0) {
		store_text(ret_text, "PostgreSQL: %s", strerror(-error));
		return error;
	}
	const struct store_call call = {.deadline_at = clock_now_ns() + INIT_TIMEOUT_NS, .abort_fd = -1};
	link->call = &call;
	link->attributes = "read-write"; // W25: without tables there is nothing to look at
	char *script = init_script(config);
	if (script && pg_connect_server(link, &answer))
		run_script(link, &answer, script);
	if (!script)
		store_text(reply.text, "PostgreSQL: no memory");
	error = link->failed || !script ? -EIO : 0;
	if (error < 0)
		memcpy(ret_text, reply.text, EXCHANGE_TEXT_SIZE);
	free(script);
	pg_link_close(link);
	return error;
}
