// SPDX-License-Identifier: Apache-2.0
// The MySQL driver's packets of several statements: how they are made and sent, and what is answered.
#include "mysql_link.h"

#include "mysql_sql.h"

#include <inttypes.h>
#include <stdlib.h>

// ---- making a packet ----

void my_put(struct store_link *link, const char *sql)
{
	for (; *sql; sql++) {
		if (*sql == '~')
			fputs(link->schema, link->out);
		else if (*sql == '#')
			fputs(link->mariadb ? "information_schema.GLOBAL_STATUS" : "performance_schema.global_status",
				link->out);
		else if (*sql == '^')
			fputs(link->mariadb ? "@@server_uid" : "@@server_uuid", link->out);
		else
			fputc(*sql, link->out);
	}
}

void my_put_number(struct store_link *link, int64_t number)
{
	fprintf(link->out, "%" PRId64, number);
}

void my_put_uuid(struct store_link *link, const struct uuid *id)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(id, text);
	fprintf(link->out, "'%s'", text);
}

// Names have no characters that would have to be escaped.
void my_put_name(struct store_link *link, const char *name)
{
	fprintf(link->out, "'%s'", name);
}

// Any text, whatever the server takes for an escape.
void my_put_text(struct store_link *link, const char *text)
{
	fputs("X'", link->out);
	for (; *text; text++)
		fprintf(link->out, "%02x", (unsigned)(unsigned char)*text);
	fputs("'", link->out);
}

bool my_packet_new(struct store_link *link, struct store_answer *answer)
{
	static const struct error_class no_memory = {0, EXCHANGE_UNAVAILABLE, false, NULL};
	link->count = 0;
	link->out = open_memstream(&link->text, &link->text_size);
	return link->out || my_fail(link, answer, &no_memory, "no memory");
}

static void begin(struct store_link *link, enum kind kind)
{
	if (link->count)
		fputs(";\n", link->out);
	link->starts[link->count] = ftell(link->out);
	link->kinds[link->count++] = kind;
}

void my_put_statement(struct store_link *link, enum kind kind, const char *sql)
{
	begin(link, kind);
	my_put(link, sql);
}

void my_put_listing(struct store_link *link, const struct listing *listing)
{
	size_t items = 0;
	for (uint32_t lease = 0; lease < link->names->count; lease++) {
		if (!listing->has(link, lease))
			continue;
		if (items % CHUNK == 0) {
			if (items)
				my_put(link, listing->end);
			begin(link, listing->kind);
			listing->start(link);
		} else {
			my_put(link, listing->separator);
		}
		listing->item(link, lease);
		items++;
	}
	if (items)
		my_put(link, listing->end);
}

void my_item_name(struct store_link *link, uint32_t lease)
{
	my_put_name(link, link->names->name[lease]);
}

// ---- answers ----

int64_t my_number_in(const char *text)
{
	return text ? strtoll(text, NULL, 10) : 0;
}

static struct uuid uuid_in(const char *text)
{
	struct uuid id;
	return !text || uuid_parse(text, &id) < 0 ? (struct uuid){0} : id;
}

// A column that is never NULL may be, at a server that we do not know.
static const char *text_in(const char *text)
{
	return text ? text : "";
}

static void incarnation_in(const char *text, struct incarnation *ret)
{
	snprintf(ret->text, sizeof ret->text, "%s", text_in(text));
}

// The number of a lease; false where we do not follow it.
static bool find_lease(const struct store_link *link, const char *name, uint32_t *ret)
{
	return name && store_known_find(&link->known, name, ret);
}

// False where this server is not to be used.
static bool take_head(struct store_link *link, struct store_answer *answer, enum kind kind, MYSQL_ROW row)
{
	enum { SERVER, UNREADY, WRITABLE, VERSION, BELIEVED, GENERATION, PAUSED, CLOCK };
	static const struct error_class unready = {0, EXCHANGE_UNAVAILABLE, true, NULL};
	static const struct error_class other_server = {0, EXCHANGE_UNKNOWN, true, NULL};
	static const struct error_class bad_version = {0, EXCHANGE_DENIED, true, NULL};
	struct exchange_reply *reply = answer->reply;
	struct incarnation server;
	char message[EXCHANGE_TEXT_SIZE];
	incarnation_in(row[SERVER], &server);
	if (my_number_in(row[UNREADY]))
		return my_fail(
			link, answer, &unready, "the Galera node is not part of its cluster's primary component");
	if (!my_number_in(row[WRITABLE]))
		return my_fail(link, answer, my_classify(READ_ONLY), "the server is read-only");
	if (reply->server.text[0] && !incarnation_equal(&reply->server, &server))
		return my_fail(link, answer, &other_server, "the server changed during an exchange");
	reply->server = server;
	link->galera = my_is_galera(reply);
	incarnation_in(row[BELIEVED], &reply->believed);
	link->generation = (uint64_t)my_number_in(row[GENERATION]);
	if (kind == HEAD && link->call->request->report)
		snprintf(reply->paused, sizeof reply->paused, "%s", text_in(row[PAUSED]));
	if (kind == HEAD)
		link->clock_us = my_number_in(row[CLOCK]);
	int64_t version = my_number_in(row[VERSION]);
	if (version == SCHEMA_VERSION)
		return true;
	snprintf(message, sizeof message, "schema version %" PRId64 " found, %d needed: run %s", version,
		SCHEMA_VERSION, version < SCHEMA_VERSION ? "tenurectl init" : "the tenured that goes with it");
	return my_fail(link, answer, &bad_version, message);
}

static void take_lease(struct store_link *link, MYSQL_ROW row)
{
	enum { COMPONENT, HOLDER, TERM, GENERATION };
	uint32_t number;
	if (!find_lease(link, row[COMPONENT], &number))
		return;
	struct lease *lease = &link->leases[number];
	lease->locked = lease->release || lease->claim; // others are none of ours
	lease->session = uuid_in(row[HOLDER]);
	lease->term = (uint64_t)my_number_in(row[TERM]);
	lease->generation = (uint64_t)my_number_in(row[GENERATION]);
}

static void take_open(struct store_link *link, MYSQL_ROW row)
{
	enum { COMPONENT, FIRST, LAST, OLD, SURPLUS };
	uint32_t number;
	if (!find_lease(link, row[COMPONENT], &number))
		return;
	struct lease *lease = &link->leases[number];
	uint64_t old = (uint64_t)my_number_in(row[OLD]), surplus = (uint64_t)my_number_in(row[SURPLUS]);
	lease->first_open = (uint64_t)my_number_in(row[FIRST]);
	lease->last_open = (uint64_t)my_number_in(row[LAST]);
	lease->trim = old > surplus ? old : surplus;
}

static void take_doomed(struct store_link *link, enum kind kind, MYSQL_ROW row)
{
	struct uuid id = uuid_in(row[0]);
	for (size_t i = 0; i < link->doomed_count; i++) {
		struct doomed *doomed = &link->doomed[i];
		if (!uuid_equal(&doomed->id, &id))
			continue;
		if (kind == LOCK_SESSIONS)
			doomed->locked |= doomed->seq == my_number_in(row[1]);
		else if (kind == LOOK_ALIVE)
			doomed->alive = true;
		else
			doomed->named = true;
	}
}

static bool take_row(struct store_link *link, struct store_answer *answer, MYSQL_ROW columns)
{
	enum { COMPONENT, HOLDER, NODE, TERM, SEQ, LEASE_MS, AGE, ACQUIRED, ASKED, TARGET, COOLDOWN };
	static const struct error_class no_memory = {0, EXCHANGE_UNAVAILABLE, false, NULL};
	struct exchange_row row = {.exists = true};
	struct store_holder holder = {
		.id = uuid_in(columns[HOLDER]),
		.alive = columns[SEQ] != NULL,
		.seq = my_number_in(columns[SEQ]),
		.lease_ms = my_number_in(columns[LEASE_MS]),
		.age_us = my_number_in(columns[AGE]),
	};
	bool kept = true;
	if (!columns[COMPONENT]) { // a session that holds some
		kept = store_known_hold(&link->known, &holder);
	} else if (find_lease(link, columns[COMPONENT], &row.lease)) {
		snprintf(row.node, sizeof row.node, "%s", text_in(columns[NODE]));
		row.term = (uint64_t)my_number_in(columns[TERM]);
		row.since_ms = my_number_in(columns[ACQUIRED]);
		row.asked = columns[ASKED] != NULL;
		row.target = uuid_in(columns[TARGET]);
		row.cooldown_ms = my_number_in(columns[COOLDOWN]);
		kept = store_known_take(&link->known, &row, uuid_is_none(&holder.id) ? NULL : &holder);
	}
	return kept || my_fail(link, answer, &no_memory, "no memory for the rows");
}

static void take_stray(struct store_answer *answer, MYSQL_ROW row)
{
	enum { ID, SEQ, LEASE_MS };
	struct exchange_reply *reply = answer->reply;
	if (reply->stray_count < EXCHANGE_STRAYS)
		reply->strays[reply->stray_count++] = (struct exchange_stray){
			.session = uuid_in(row[ID]),
			.seq = my_number_in(row[SEQ]),
			.lease_ms = my_number_in(row[LEASE_MS]),
		};
}

static bool take_candidate(struct store_link *link, struct store_answer *answer, MYSQL_ROW row)
{
	enum { ID, NODE, SEQ, LEASE_MS, AGE, OFFERS };
	static const struct error_class no_memory = {0, EXCHANGE_UNAVAILABLE, true, NULL};
	struct exchange_offerer offerer = {
		.session = uuid_in(row[ID]),
		.seq = my_number_in(row[SEQ]),
		.lease_ms = my_number_in(row[LEASE_MS]),
		.age_us = my_number_in(row[AGE]),
	};
	snprintf(offerer.node, sizeof offerer.node, "%s", text_in(row[NODE]));
	return store_take_offers(answer, link->names, &offerer, text_in(row[OFFERS])) ||
	       my_fail(link, answer, &no_memory, "no memory");
}

static void take_past(struct store_link *link, struct store_answer *answer, MYSQL_ROW row)
{
	enum { COMPONENT, TERM, NODE, FROM, TO, REASON };
	struct exchange_reply *reply = answer->reply;
	uint32_t number;
	if (!find_lease(link, row[COMPONENT], &number) || reply->past_count == link->call->request->history_count)
		return;
	struct exchange_past *past = &answer->past[reply->past_count++];
	*past = (struct exchange_past){
		.lease = number,
		.term = (uint64_t)my_number_in(row[TERM]),
		.from_ms = my_number_in(row[FROM]),
		.to_ms = my_number_in(row[TO]),
	};
	snprintf(past->node, sizeof past->node, "%s", text_in(row[NODE]));
	snprintf(past->reason, sizeof past->reason, "%s", text_in(row[REASON]));
}

static void take_waiter(struct store_link *link, MYSQL_ROW row)
{
	if (link->waiter_count == link->waiter_room) {
		size_t room = link->waiter_room ? 2 * link->waiter_room : 16;
		unsigned long *waiters = reallocarray(link->waiters, room, sizeof *waiters);
		if (!waiters)
			return;
		link->waiters = waiters;
		link->waiter_room = room;
	}
	link->waiters[link->waiter_count++] = (unsigned long)my_number_in(row[0]);
}

static bool take_result_row(struct store_link *link, struct store_answer *answer, enum kind kind, MYSQL_ROW row)
{
	switch (kind) {
	case LOOK_DATABASE:
		snprintf(link->database, sizeof link->database, "%s", text_in(row[0]));
		return true;
	case LOOK:
	case HEAD:
		return take_head(link, answer, kind, row);
	case LOCK_ME:
		link->me = true;
		snprintf(link->node, sizeof link->node, "%s", text_in(row[1]));
		return true;
	case LOCK_STORE:
		link->elects = row[0] && row[0][0] == '\0';
		return true;
	case LOCK_LEASES:
		take_lease(link, row);
		return true;
	case LOCK_SESSIONS:
	case LOOK_ALIVE:
	case LOOK_NAMED:
		take_doomed(link, kind, row);
		return true;
	case LOOK_PAST:
		take_open(link, row);
		return true;
	case ROWS:
		return take_row(link, answer, row);
	case STRAYS:
		take_stray(answer, row);
		return true;
	case CANDIDATES:
		return take_candidate(link, answer, row);
	case HISTORY:
		take_past(link, answer, row);
		return true;
	case WAITERS:
		take_waiter(link, row);
		return true;
	case WRITE:
	case TRY:
	case SESSION:
	case ADOPT:
	case MISSING:
	case BEGIN:
	case CHANGE:
	case PAST:
	case ASK:
	case COMMIT:
	case OFFERED:
	default:
		return true;
	}
}

// A statement without rows.
static void take_done(struct store_link *link, struct store_answer *answer, enum kind kind)
{
	link->wrote |= kind == SESSION || kind == ADOPT || kind == MISSING;
	if (kind == SESSION)
		answer->reply->session_alive = mysql_affected_rows(link->connection) == 1;
	else if (kind == BEGIN)
		link->in_transaction = true;
	else if (kind == CHANGE)
		link->changed -= (size_t)mysql_affected_rows(link->connection);
	else if (kind == ASK)
		answer->reply->asked = mysql_affected_rows(link->connection) > 0;
	else if (kind == COMMIT)
		// On Galera, what ended an empty transaction may be told to the statement after it.
		link->committed = link->changes;
	if (kind == COMMIT)
		link->in_transaction = false;
}

// Galera ends a transaction between any two statements, and not each way of telling it reaches us.
static bool is_still_in_transaction(struct store_link *link, struct store_answer *answer)
{
	static const struct error_class ended = {0, EXCHANGE_BUSY, false, NULL};
	if (!link->in_transaction || (link->connection->server_status & SERVER_STATUS_IN_TRANS))
		return true;
	link->in_transaction = false;
	return my_fail(link, answer, &ended, "the server ended the transaction");
}

// Of a look at the server there is always a row.
static bool is_what_was_asked(enum kind kind, MYSQL_RES *result)
{
	static const unsigned columns[] = {
		[LOOK_DATABASE] = 1,
		[LOOK] = 6,
		[HEAD] = 8,
		[LOCK_ME] = 2,
		[LOCK_STORE] = 1,
		[LOCK_LEASES] = 4,
		[LOCK_SESSIONS] = 2,
		[LOOK_ALIVE] = 1,
		[LOOK_NAMED] = 1,
		[LOOK_PAST] = 5,
		[ROWS] = 11,
		[STRAYS] = 3,
		[CANDIDATES] = 6,
		[HISTORY] = 6,
		[WAITERS] = 1,
	};
	if (!result || mysql_num_rows(result) == 0)
		return kind != LOOK && kind != HEAD;
	return mysql_num_fields(result) >= columns[kind];
}

static bool take_answer(struct store_link *link, struct store_answer *answer, enum kind kind)
{
	static const struct error_class confused = {0, EXCHANGE_UNKNOWN, true, NULL};
	MYSQL_RES *result = mysql_store_result(link->connection);
	bool good = true;
	if (!result && mysql_errno(link->connection) != 0)
		return my_fail_by_connection(link, answer, kind);
	if (!is_what_was_asked(kind, result)) {
		mysql_free_result(result);
		return my_fail(link, answer, &confused, "the server answered something else than was asked");
	}
	if (!result) {
		take_done(link, answer, kind);
		return is_still_in_transaction(link, answer);
	}
	for (MYSQL_ROW row = mysql_fetch_row(result); row && good; row = mysql_fetch_row(result))
		good = take_result_row(link, answer, kind, row);
	mysql_free_result(result);
	return good && is_still_in_transaction(link, answer);
}

static bool answers(struct store_link *link, struct store_answer *answer, size_t first, size_t end)
{
	static const struct error_class confused = {0, EXCHANGE_UNKNOWN, true, NULL};
	for (size_t i = first; i < end; i++) {
		if (!take_answer(link, answer, link->kinds[i]))
			return false;
		int more = mysql_next_result(link->connection);
		if (more > 0)
			return my_fail_by_connection(link, answer, i + 1 < end ? link->kinds[i + 1] : WRITE);
		if ((more == 0) != (i + 1 < end))
			return my_fail(link, answer, &confused, "another number of answers than of statements");
	}
	return true;
}

static bool send_one_by_one(struct store_link *link, struct store_answer *answer)
{
	for (size_t i = 0; i < link->count; i++) {
		size_t start = (size_t)link->starts[i];
		size_t end = i + 1 < link->count ? (size_t)link->starts[i + 1] - strlen(";\n") : link->text_size;
		if (mysql_real_query(link->connection, link->text + start, end - start) != 0)
			return my_fail_by_connection(link, answer, link->kinds[i]);
		if (!answers(link, answer, i, i + 1))
			return false;
	}
	return true;
}

// Sends the packet that was made, and takes what is answered.
bool my_round_trip(struct store_link *link, struct store_answer *answer)
{
	static const struct error_class no_memory = {0, EXCHANGE_UNAVAILABLE, true, NULL};
	bool failed = ferror(link->out);
	if (fclose(link->out) != 0 || failed) {
		free(link->text);
		return my_fail(link, answer, &no_memory, "no memory");
	}
	if (link->one_by_one) {
		bool done = send_one_by_one(link, answer);
		free(link->text);
		return done;
	}
	failed = mysql_real_query(link->connection, link->text, link->text_size) != 0;
	free(link->text);
	if (failed)
		return my_fail_by_connection(link, answer, link->kinds[0]);
	return answers(link, answer, 0, link->count);
}
