// SPDX-License-Identifier: Apache-2.0
// The driver without a database: this daemon always leads (W22). Nothing outlives the process, there are no other
// candidates to tell, and no history is kept.
#include "driver.h"

#include "clock.h"
#include "tables.h"

#include <errno.h>
#include <stdlib.h>

// A session may be followed by another before it is swept; there is only one daemon.
#define MEMORY_SESSIONS 64

struct store_link {
	const struct store_names *names;
	struct tables *tables;
	const char *node;
};

static int memory_check(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	(void)config;
	(void)ret_text;
	return 0;
}

static int memory_init_schema(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	(void)config;
	(void)ret_text;
	return 0;
}

static int memory_print_schema(const struct store_config *config, FILE *out)
{
	(void)config;
	return fputs("-- driver = memory has no schema\n", out) < 0 ? -EIO : 0;
}

static int memory_open(struct store_link **ret, const struct store_config *config, const struct store_names *names)
{
	static const struct incarnation incarnation = {.text = "memory"};
	struct store_link *link = malloc(sizeof *link);
	if (!link)
		return -ENOMEM;
	link->names = names;
	link->node = config->node;
	int error = tables_new(&link->tables, names->count, MEMORY_SESSIONS, &incarnation);
	if (error < 0) {
		free(link);
		return error;
	}
	*ret = link;
	return 0;
}

static int memory_grow(struct store_link *link)
{
	return tables_grow(link->tables, link->names->count);
}

static void memory_exchange(struct store_link *link, const struct store_call *call, struct store_answer *answer)
{
	struct tables *tables = link->tables;
	struct exchange_reply *reply = answer->reply;
	tables->unix_time = clock_wall_ms() / 1000;
	tables->now_us = clock_now_ns() / NS_PER_US;
	reply->session_alive = tables_session(tables, call->request, link->node);
	tables_adopt(tables, call->request);
	tables_missing(tables, call->request);
	tables_change(tables, call->request, answer->grants, &reply->grant_count);
	tables_ask(tables, call->request, link->node, reply);
	tables_report(tables, call->request, answer->rows, reply);
	reply->connection = 1;
	reply->outcome = EXCHANGE_OK;
}

static int memory_hint_fd(struct store_link *link)
{
	(void)link;
	return -1;
}

static bool memory_take_hint(struct store_link *link, struct store_hint *hint)
{
	(void)hint;
	(void)link;
	return false;
}

static void memory_close(struct store_link *link)
{
	tables_free(link->tables);
	free(link);
}

const struct store_driver store_memory = {
	.name = "memory",
	.version = TENURE_VERSION,
	.check = memory_check,
	.init_schema = memory_init_schema,
	.print_schema = memory_print_schema,
	.open = memory_open,
	.grow = memory_grow,
	.exchange = memory_exchange,
	.hint_fd = memory_hint_fd,
	.take_hint = memory_take_hint,
	.close = memory_close,
};
