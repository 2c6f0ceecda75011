// SPDX-License-Identifier: Apache-2.0
// The MySQL driver's schema: made, upgraded and printed.
#include "mysql_link.h"

#include "mysql_sql.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define INIT_TIMEOUT_NS (10 * NS_PER_S)
#define COUNT_TEXT_SIZE 256
// Of the statement in @tenure.
#define PRINT_EXECUTE "PREPARE tenure FROM @tenure;\nEXECUTE tenure;\nDEALLOCATE PREPARE tenure;\n"

static void print_statement(struct store_link *link, const char *sql, const char *end)
{
	my_put(link, sql);
	fputs(end, link->out);
}

static void print_all(struct store_link *link, const char *const *sql, size_t count)
{
	for (size_t i = 0; i < count; i++)
		print_statement(link, sql[i], ";\n");
}

// `sql`, as a text in quotes.
static void print_quoted(struct store_link *link, const char *sql)
{
	FILE *out = link->out;
	char *text = NULL;
	size_t size;
	link->out = open_memstream(&text, &size);
	if (!link->out) {
		link->out = out;
		return;
	}
	my_put(link, sql);
	fclose(link->out);
	link->out = out;
	fputc('\'', out);
	for (const char *c = text; *c; c++)
		fputs(*c == '\'' ? "''" : (char[]){*c, '\0'}, out);
	fputc('\'', out);
	free(text);
}

static void print_step_1(struct store_link *link)
{
	FILE *out = link->out;
	print_all(link, sql_init_1, COUNT_OF(sql_init_1));
	fputs("DELIMITER //\n", out);
	print_statement(link, sql_init_fence, " //\nDELIMITER ;\n");
	fputs("SET @tenure = IF(VERSION() LIKE '%MariaDB%', ", out);
	link->mariadb = true;
	print_quoted(link, sql_init_store);
	fputs(",\n  ", out);
	link->mariadb = false;
	print_quoted(link, sql_init_store);
	fputs(");\n" PRINT_EXECUTE, out);
	print_statement(link, sql_init_version_1, ";\n");
}

static void print_step_2(struct store_link *link)
{
	FILE *out = link->out;
	print_all(link, sql_init_2, COUNT_OF(sql_init_2));
	for (size_t i = 0; i < COUNT_OF(sql_init_added); i++) {
		fprintf(out, "SET @tenure = IF((" SQL_INIT_COUNT ") > 0, 'DO 0',\n  ", sql_init_added[i].found_in,
			sql_init_added[i].by, sql_init_added[i].name, sql_init_added[i].table);
		print_quoted(link, sql_init_added[i].sql);
		fputs(");\n" PRINT_EXECUTE, out);
	}
	print_statement(link, sql_init_version_2, ";\n");
}

// For the command-line client of either vendor, whichever the server is of.
int my_print_schema(const struct store_config *config, FILE *out)
{
	struct store_link link = {.config = config, .out = out, .schema = my_quote_schema(config->schema)};
	if (!link.schema)
		return -ENOMEM;
	if (is_given(config->schema))
		fprintf(out, "CREATE DATABASE IF NOT EXISTS %.*s;\nUSE %.*s;\n", (int)strlen(link.schema) - 1,
			link.schema, (int)strlen(link.schema) - 1, link.schema);
	fputs("DO GET_LOCK(" INIT_LOCK ", 10);\n", out);
	print_statement(&link, sql_init_patience, ";\n");
	print_step_1(&link);
	print_step_2(&link);
	print_all(&link, sql_init_3, COUNT_OF(sql_init_3));
	fputs("DO RELEASE_LOCK(" INIT_LOCK ");\n", out);
	free(link.schema);
	return ferror(out) ? -EIO : 0;
}

// The first value of the answer, or `none`; -1 where it failed.
static int64_t ask(struct store_link *link, struct store_answer *answer, const char *sql, int64_t none)
{
	int64_t value = none;
	if (mysql_query(link->connection, sql) != 0) {
		my_fail_by_connection(link, answer, WRITE);
		return -1;
	}
	MYSQL_RES *result = mysql_store_result(link->connection);
	MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
	if (row && row[0])
		value = my_number_in(row[0]);
	mysql_free_result(result);
	return value;
}

static bool execute(struct store_link *link, struct store_answer *answer, const char *sql)
{
	if (!my_packet_new(link, answer))
		return false;
	my_put_statement(link, WRITE, sql);
	return my_round_trip(link, answer);
}

static bool use_schema(struct store_link *link, struct store_answer *answer)
{
	char sql[4 * DATABASE_NAME_BYTES];
	int length = (int)strlen(link->schema) - 1;
	if (length <= 0)
		return true;
	// To make what is there already would take a privilege.
	if (mysql_select_db(link->connection, link->config->schema) == 0)
		return true;
	snprintf(sql, sizeof sql, "CREATE DATABASE IF NOT EXISTS %.*s", length, link->schema);
	if (ask(link, answer, sql, 0) < 0)
		return false;
	return mysql_select_db(link->connection, link->config->schema) == 0 ||
	       my_fail_by_connection(link, answer, WRITE);
}

static bool execute_all(struct store_link *link, struct store_answer *answer, const char *const *sql, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!execute(link, answer, sql[i]))
			return false;
	return true;
}

static bool add_to_tables(struct store_link *link, struct store_answer *answer)
{
	char sql[COUNT_TEXT_SIZE];
	for (size_t i = 0; i < COUNT_OF(sql_init_added); i++) {
		snprintf(sql, sizeof sql, SQL_INIT_COUNT, sql_init_added[i].found_in, sql_init_added[i].by,
			sql_init_added[i].name, sql_init_added[i].table);
		int64_t found = ask(link, answer, sql, 0);
		if (found < 0 || (found == 0 && !execute(link, answer, sql_init_added[i].sql)))
			return false;
	}
	return true;
}

static bool step_1(struct store_link *link, struct store_answer *answer)
{
	return execute_all(link, answer, sql_init_1, COUNT_OF(sql_init_1)) && execute(link, answer, sql_init_fence) &&
	       execute(link, answer, sql_init_store) && execute(link, answer, sql_init_version_1);
}

static bool step_2(struct store_link *link, struct store_answer *answer)
{
	return execute_all(link, answer, sql_init_2, COUNT_OF(sql_init_2)) && add_to_tables(link, answer) &&
	       execute(link, answer, sql_init_version_2);
}

// Of the schema that is there; 0: there is none. -1 where it cannot be told.
static int64_t find_version(struct store_link *link, struct store_answer *answer)
{
	int64_t tables = ask(link, answer,
		"SELECT COUNT(*) FROM information_schema.TABLES"
		" WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'tenure_store'",
		0);
	return tables > 0 ? ask(link, answer, "SELECT schema_version FROM tenure_store WHERE id = 1", 0) : tables;
}

// Whoever finds the newest version needs no privilege to change anything. Leaders may sit meanwhile.
static bool upgrade(struct store_link *link, struct store_answer *answer)
{
	static const struct error_class newer = {0, EXCHANGE_DENIED, true, "use the tenurectl that goes with it"};
	static const struct error_class busy = {0, EXCHANGE_BUSY, true, "try again"};
	char message[EXCHANGE_TEXT_SIZE];
	if (ask(link, answer, "SELECT GET_LOCK(" INIT_LOCK ", 10)", 0) <= 0)
		return my_fail(link, answer, &busy, "another tenurectl init takes its time");
	int64_t version = find_version(link, answer);
	if (version < 0 || version == SCHEMA_VERSION)
		return version > 0;
	if (version > SCHEMA_VERSION) {
		snprintf(message, sizeof message, "schema version %" PRId64 " is newer than %d", version,
			SCHEMA_VERSION);
		return my_fail(link, answer, &newer, message);
	}
	if (execute(link, answer, sql_init_patience) && (version >= 1 || step_1(link, answer)) &&
		(version >= 2 || step_2(link, answer)) && execute_all(link, answer, sql_init_3, COUNT_OF(sql_init_3)))
		return true;
	if (answer->reply->outcome == EXCHANGE_BUSY)
		store_text(answer->reply->text, "MySQL: a transaction holds the tables: try again when it is over");
	return false;
}

static bool find_primary(struct store_link *link, struct store_answer *answer)
{
	for (size_t tries = 0; tries < link->host_count; tries++) {
		link->failed = link->broken = false;
		if (my_connect_one(link, answer) &&
			(ask(link, answer, "SELECT @@global.read_only IN ('0', 'OFF')", 0) > 0 ||
				my_fail(link, answer, my_classify(READ_ONLY), "the server is read-only")))
			return true;
		my_disconnect(link);
		link->next_host = (link->next_host + 1) % link->host_count;
	}
	return false;
}

int my_init_schema(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	static const struct store_names no_names = {.count = 0};
	struct exchange_reply reply = {.outcome = EXCHANGE_OK};
	struct store_answer answer = {.reply = &reply};
	struct store_config patient = *config;
	struct store_link *link;
	patient.timeout_ns = INIT_TIMEOUT_NS;
	int error = my_open(&link, &patient, &no_names);
	if (error < 0) {
		store_text(ret_text, "MySQL: %s", strerror(-error));
		return error;
	}
	bool done = find_primary(link, &answer) && use_schema(link, &answer) && upgrade(link, &answer);
	if (!done)
		memcpy(ret_text, reply.text, EXCHANGE_TEXT_SIZE);
	my_close(link);
	return done ? 0 : -EIO;
}
