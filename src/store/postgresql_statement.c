// SPDX-License-Identifier: Apache-2.0
#include "postgresql_link.h"

#include "clock.h"
#include "postgresql_sql.h"
#include "postgresql_text.h"

#include <stdlib.h>

#define MAX_PARAMETERS 9
// So many rows of each component that is trimmed.
#define TRIM_ROWS 1024
// To count a history is to read it: where it is longer than this, one exchange in so many does.
#define TRIM_COUNT 4096
// The most sessions whose offers are read.
#define CANDIDATE_SESSIONS 1000

const char *const pg_statement_sql[STATEMENTS] = {
	[SETTINGS] = sql_settings,
	[SESSION_CREATE] = sql_session_create,
	[SESSION_RENEW] = sql_session_renew,
	[SESSION_PUBLISH] = sql_session_publish,
	[SESSION_DELETE] = sql_session_delete,
	[ADOPT] = sql_adopt,
	[MISSING] = sql_missing,
	[RELEASE] = sql_release,
	[CHANGE] = sql_change,
	[TRIM] = sql_trim,
	[ASK] = sql_ask,
	[PAUSE] = sql_pause,
	[REPORT] = sql_report,
	[REPORT_CHANGED] = sql_report_changed,
	[REPORT_CHANGED_AND_IDLE] = sql_report_changed_and_idle,
	[HISTORY] = sql_history,
	[LISTEN] = sql_listen,
	[LOOK] = sql_look,
};

// The columns that the statements of an exchange start with, and all of LOOK's.
enum { SERVER, VERSION, BELIEVED, PROCESS, HEAD_COLUMNS };
// Those of a report before its rows.
enum { PAUSED = HEAD_COLUMNS, CLOCK, REPORT_COLUMNS };
// How many columns of an answer are read; 0: nothing is made of it.
static const int columns_read[STATEMENTS] = {
	[SESSION_CREATE] = HEAD_COLUMNS + 1,
	[SESSION_RENEW] = HEAD_COLUMNS + 1,
	[SESSION_PUBLISH] = HEAD_COLUMNS + 1,
	[SESSION_DELETE] = HEAD_COLUMNS + 1,
	[ADOPT] = HEAD_COLUMNS,
	[MISSING] = HEAD_COLUMNS,
	[RELEASE] = HEAD_COLUMNS,
	[CHANGE] = HEAD_COLUMNS + 2,
	[ASK] = HEAD_COLUMNS + 1,
	[PAUSE] = HEAD_COLUMNS,
	[REPORT] = REPORT_COLUMNS + 12,
	[HISTORY] = HEAD_COLUMNS + 6,
	[LOOK] = HEAD_COLUMNS,
};

// ---- sending ----

static void put_kept_name(enum statement which, char ret[static OPTION_TEXT_SIZE])
{
	snprintf(ret, OPTION_TEXT_SIZE, "tenured_%d", (int)which);
}

static bool send_statement(struct store_link *link, enum statement which, int count, const char *const *values)
{
	char name[OPTION_TEXT_SIZE];
	put_kept_name(which, name);
	if (link->kept[which] && !link->pooled)
		return PQsendQueryPrepared(link->connection, name, count, values, NULL, NULL, 0);
	return PQsendQueryParams(link->connection, link->sql[which], count, NULL, values, NULL, NULL, 0);
}

static void put_number(char ret[static OPTION_TEXT_SIZE], int64_t number)
{
	snprintf(ret, OPTION_TEXT_SIZE, "%lld", (long long)number);
}

static bool send_session(struct store_link *link, const struct exchange_request *request, enum statement which)
{
	char id[UUID_TEXT_SIZE], lease_ms[OPTION_TEXT_SIZE];
	static const int counts[] = {
		[SESSION_CREATE] = 4, [SESSION_RENEW] = 1, [SESSION_PUBLISH] = 2, [SESSION_DELETE] = 1};
	bool publish = counts[which] > 1;
	char *offers = publish ? store_offers_text(request, link->names) : NULL;
	uuid_format(&request->session, id);
	put_number(lease_ms, request->lease_ms);
	const char *values[] = {id, offers, link->config->node, lease_ms};
	bool sent = (offers || !publish) && send_statement(link, which, counts[which], values);
	free(offers);
	return sent;
}

// `first` are the parameters before the arrays.
static bool send_arrays(struct store_link *link, const struct exchange_request *request, enum statement which,
	const char *const *first, size_t first_count, const enum pg_array *arrays, size_t array_count)
{
	const char *values[MAX_PARAMETERS];
	char *texts[MAX_PARAMETERS] = {NULL};
	bool sent = true;
	for (size_t i = 0; i < first_count; i++)
		values[i] = first[i];
	for (size_t i = 0; i < array_count; i++) {
		texts[i] = pg_array_text(arrays[i], request, link->names);
		values[first_count + i] = texts[i];
		sent &= texts[i] != NULL;
	}
	sent = sent && send_statement(link, which, (int)(first_count + array_count), values);
	for (size_t i = 0; i < array_count; i++)
		free(texts[i]);
	return sent;
}

static bool send_adopt(struct store_link *link, const struct exchange_request *request)
{
	char highest[OPTION_TEXT_SIZE], leap[OPTION_TEXT_SIZE];
	put_number(highest, (int64_t)request->highest_term);
	put_number(leap, (int64_t)request->leap);
	const char *values[] = {request->incarnation.text, highest, leap};
	return send_statement(link, ADOPT, COUNT_OF(values), values);
}

static bool send_missing(struct store_link *link, const struct exchange_request *request)
{
	static const enum pg_array arrays[] = {PG_CLAIM_NAMES, PG_CLAIM_MISSING};
	return send_arrays(link, request, MISSING, NULL, 0, arrays, COUNT_OF(arrays));
}

static bool send_release(struct store_link *link, const struct exchange_request *request)
{
	static const enum pg_array arrays[] = {PG_RELEASE_NAMES, PG_RELEASE_TERMS, PG_RELEASE_REASONS};
	char id[UUID_TEXT_SIZE];
	uuid_format(&request->session, id);
	const char *first[] = {id};
	return send_arrays(link, request, RELEASE, first, COUNT_OF(first), arrays, COUNT_OF(arrays));
}

static bool send_change(struct store_link *link, const struct exchange_request *request)
{
	static const enum pg_array arrays[] = {
		PG_CLAIM_NAMES,
		PG_CLAIM_HOLDERS,
		PG_CLAIM_SEQS,
		PG_CLAIM_TERMS,
		PG_SWEEP_SESSIONS,
		PG_SWEEP_SEQS,
	};
	char id[UUID_TEXT_SIZE], count[OPTION_TEXT_SIZE];
	uuid_format(&request->session, id);
	put_number(count, link->config->history_count);
	const char *first[] = {id, request->incarnation.text, count};
	return send_arrays(link, request, CHANGE, first, COUNT_OF(first), arrays, COUNT_OF(arrays));
}

static bool send_trim(struct store_link *link)
{
	char count[OPTION_TEXT_SIZE], milliseconds[OPTION_TEXT_SIZE], most[OPTION_TEXT_SIZE];
	char *names = pg_names_text(link->granted, link->granted_count, link->names);
	// Once: what stays is found after the next claim, and nobody is to be held up again and again.
	link->granted_count = 0;
	put_number(count, link->config->history_count);
	put_number(milliseconds, link->config->history_ms);
	put_number(most, TRIM_ROWS);
	const char *values[] = {count, milliseconds, most, names};
	bool sent = names && send_statement(link, TRIM, COUNT_OF(values), values);
	free(names);
	return sent;
}

static bool send_ask(struct store_link *link, const struct exchange_request *request)
{
	static const struct exchange_ask nothing; // no lease has this term and a session
	const struct exchange_ask *ask = request->ask ? request->ask : &nothing;
	const char *name = request->ask ? link->names->name[ask->lease] : "";
	char id[UUID_TEXT_SIZE], term[OPTION_TEXT_SIZE], target[UUID_TEXT_SIZE], cooldown_ms[OPTION_TEXT_SIZE];
	uuid_format(&request->session, id);
	uuid_format(&ask->target, target);
	put_number(term, (int64_t)ask->term);
	put_number(cooldown_ms, ask->cooldown_ms);
	const char *values[] = {id, name, term, uuid_is_none(&ask->target) ? NULL : target, cooldown_ms};
	return send_statement(link, ASK, COUNT_OF(values), values);
}

static bool send_pause(struct store_link *link, const struct exchange_request *request)
{
	char id[UUID_TEXT_SIZE];
	uuid_format(&request->session, id);
	const char *values[] = {
		id, request->pause == EXCHANGE_PAUSE_SET ? link->config->node : "", link->timeouts[PATIENCE]};
	return send_statement(link, PAUSE, COUNT_OF(values), values);
}

static bool send_history(struct store_link *link, const struct exchange_request *request)
{
	char name[NAME_BYTES + sizeof "{\"\"}"] = "", count[OPTION_TEXT_SIZE];
	bool every = request->history_lease == EXCHANGE_EVERY_LEASE;
	if (!every)
		snprintf(name, sizeof name, "{\"%s\"}", link->names->name[request->history_lease]);
	put_number(count, request->history_count);
	const char *values[] = {every ? link->names_array : name, count};
	return send_statement(link, HISTORY, COUNT_OF(values), values);
}

static bool send_report(struct store_link *link, const struct exchange_request *request)
{
	char strays[OPTION_TEXT_SIZE], candidates[OPTION_TEXT_SIZE], since[OPTION_TEXT_SIZE];
	int64_t since_us = 0;
	put_number(strays, request->strays ? EXCHANGE_STRAYS : 0);
	put_number(candidates, request->candidates ? CANDIDATE_SESSIONS : 0);
	if (request->report)
		store_known_begin(&link->known, request->lease_ms, link->connections, &since_us);
	if (!since_us) {
		const char *values[] = {request->report ? link->names_array : "{}", strays, candidates};
		return send_statement(link, REPORT, COUNT_OF(values), values);
	}
	put_number(since, since_us);
	char *holders = pg_holders_text(&link->known);
	const char *values[] = {since, holders, strays, candidates};
	bool idle = request->strays || request->candidates;
	bool sent =
		holders && send_statement(link, idle ? REPORT_CHANGED_AND_IDLE : REPORT_CHANGED, idle ? 4 : 2, values);
	free(holders);
	return sent;
}

static bool send_one(struct store_link *link, const struct exchange_request *request, enum statement which)
{
	switch (which) {
	case SESSION_CREATE:
	case SESSION_RENEW:
	case SESSION_PUBLISH:
	case SESSION_DELETE:
		return send_session(link, request, which);
	case ADOPT:
		return send_adopt(link, request);
	case MISSING:
		return send_missing(link, request);
	case RELEASE:
		return send_release(link, request);
	case CHANGE:
		return send_change(link, request);
	case TRIM:
		return send_trim(link);
	case ASK:
		return send_ask(link, request);
	case PAUSE:
		return send_pause(link, request);
	case REPORT:
		return send_report(link, request);
	case HISTORY:
		return send_history(link, request);
	case SETTINGS: {
		const char *values[] = {link->timeouts[STATEMENT_TIMEOUT], link->timeouts[LOCK_TIMEOUT],
			link->timeouts[KEEPALIVES_IDLE]};
		return send_statement(link, which, COUNT_OF(values), values);
	}
	case LISTEN:
	case LOOK:
	case REPORT_CHANGED:
	case REPORT_CHANGED_AND_IDLE:
	case STATEMENTS:
	default:
		return send_statement(link, which, 0, NULL);
	}
}

// ---- receiving ----

static int64_t number_at(const PGresult *result, int row, int column)
{
	return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

static struct uuid uuid_at(const PGresult *result, int row, int column)
{
	struct uuid id;
	return uuid_parse(PQgetvalue(result, row, column), &id) < 0 ? (struct uuid){0} : id;
}

static void text_at(const PGresult *result, int row, int column, char *ret, size_t size)
{
	snprintf(ret, size, "%s", PQgetvalue(result, row, column));
}

static void take_incarnation(const PGresult *result, int column, struct incarnation *ret)
{
	text_at(result, 0, column, ret->text, sizeof ret->text);
}

// These are false where this server is not to be used.
static bool take_server(struct store_link *link, struct store_answer *answer, const PGresult *result)
{
	static const struct pg_error other_server = {"", EXCHANGE_UNKNOWN, true, NULL};
	struct exchange_reply *reply = answer->reply;
	struct incarnation server;
	char message[EXCHANGE_TEXT_SIZE];
	take_incarnation(result, SERVER, &server);
	if (!server.text[0]) {
		link->read_only = true;
		snprintf(message, sizeof message, "the server at %s, port %s, is read-only", PQhost(link->connection),
			PQport(link->connection));
		pg_fail(link, answer, pg_error_classify(PG_READ_ONLY), message);
		return false;
	}
	if (reply->server.text[0] && !incarnation_equal(&reply->server, &server)) {
		pg_fail(link, answer, &other_server, "the server changed during an exchange");
		return false;
	}
	reply->server = server;
	return true;
}

static void take_process(struct store_link *link, const PGresult *result)
{
	link->pooled |= number_at(result, 0, PROCESS) != PQbackendPID(link->connection);
	link->forgetful |= link->pooled && link->kept[CHANGE];
}

static bool take_head(struct store_link *link, struct store_answer *answer, const PGresult *result)
{
	static const struct pg_error bad_version = {"", EXCHANGE_DENIED, true, NULL};
	char message[EXCHANGE_TEXT_SIZE];
	take_process(link, result);
	if (!take_server(link, answer, result))
		return false;
	take_incarnation(result, BELIEVED, &answer->reply->believed);
	int64_t version = number_at(result, 0, VERSION);
	if (version == SCHEMA_VERSION)
		return true;
	snprintf(message, sizeof message, "schema version %lld found, %d needed: run %s", (long long)version,
		SCHEMA_VERSION, version < SCHEMA_VERSION ? "tenurectl init" : "the tenured that goes with it");
	pg_fail(link, answer, &bad_version, message);
	return false;
}

static void take_session(struct store_answer *answer, const PGresult *result)
{
	answer->reply->session_alive = number_at(result, 0, HEAD_COLUMNS) == 1;
}

// Their histories have grown. Trimming is left to the next exchange, since nobody waits for it then; of too many it is
// done for some, of a history that is too long to be counted every time now and then.
static void remember_grants(struct store_link *link, const struct exchange_reply *reply)
{
	uint64_t lot = (uint64_t)(clock_now_ns() / NS_PER_US);
	uint64_t lots = 1 + (uint64_t)link->config->history_count / TRIM_COUNT;
	if (reply->grant_count == 0 || lot % lots != 0)
		return;
	size_t count = reply->grant_count < TRIM_COMPONENTS ? reply->grant_count : TRIM_COMPONENTS;
	size_t first = (lot / lots) % (reply->grant_count - count + 1);
	for (size_t i = 0; i < count; i++)
		link->granted[i] = reply->grants[first + i].lease;
	link->granted_count = count;
}

static void take_grants(struct store_link *link, const struct exchange_request *request, struct store_answer *answer,
	const PGresult *result)
{
	enum { NR = HEAD_COLUMNS, TERM };
	struct exchange_reply *reply = answer->reply;
	for (int i = 0; i < PQntuples(result); i++) {
		size_t nr = (size_t)number_at(result, i, NR);
		if (nr < 1 || nr > request->claim_count || reply->grant_count == request->claim_count)
			continue; // no grant: the one row that is always there
		answer->grants[reply->grant_count++] = (struct exchange_grant){
			.lease = request->claims[nr - 1].lease,
			.term = (uint64_t)number_at(result, i, TERM),
		};
	}
	remember_grants(link, reply);
}

// A session that offers something, one that holds nothing, or (NULL) one that holds what did not change: of what was
// asked for.
static bool take_session_row(struct store_link *link, const struct exchange_request *request,
	struct store_answer *answer, const struct store_holder *session, const char *node, const char *offers)
{
	struct exchange_reply *reply = answer->reply;
	struct exchange_offerer offerer = {
		.session = session->id,
		.seq = session->seq,
		.lease_ms = session->lease_ms,
		.age_us = session->age_us,
	};
	if (!offers)
		return !request->report || store_known_hold(&link->known, session);
	if (*offers) {
		if (!request->candidates)
			return true;
		snprintf(offerer.node, sizeof offerer.node, "%s", node);
		return store_take_offers(answer, link->names, &offerer, offers);
	}
	if (request->strays && reply->stray_count < EXCHANGE_STRAYS)
		reply->strays[reply->stray_count++] = (struct exchange_stray){
			.session = session->id,
			.seq = session->seq,
			.lease_ms = session->lease_ms,
		};
	return true;
}

static bool take_row(struct store_link *link, const struct exchange_request *request, struct store_answer *answer,
	const PGresult *result, int i)
{
	enum {
		COMPONENT = REPORT_COLUMNS,
		HOLDER,
		NODE,
		TERM,
		SEQ,
		LEASE_MS,
		AGE,
		ACQUIRED,
		ASKED,
		TARGET,
		COOLDOWN,
		OFFERS
	};
	struct exchange_row row = {.exists = true};
	struct store_holder holder = {
		.id = uuid_at(result, i, HOLDER),
		.alive = !PQgetisnull(result, i, SEQ),
		.seq = number_at(result, i, SEQ),
		.lease_ms = number_at(result, i, LEASE_MS),
		.age_us = number_at(result, i, AGE),
	};
	const char *node = PQgetvalue(result, i, NODE);
	const char *offers = PQgetisnull(result, i, OFFERS) ? NULL : PQgetvalue(result, i, OFFERS);
	if (PQgetisnull(result, i, COMPONENT)) // of a session, or the one row that is always there
		return uuid_is_none(&holder.id) || take_session_row(link, request, answer, &holder, node, offers);
	if (!request->report || !store_known_find(&link->known, PQgetvalue(result, i, COMPONENT), &row.lease))
		return true;
	snprintf(row.node, sizeof row.node, "%s", node);
	row.term = (uint64_t)number_at(result, i, TERM);
	row.since_ms = number_at(result, i, ACQUIRED);
	row.asked = *PQgetvalue(result, i, ASKED) == 't';
	row.target = uuid_at(result, i, TARGET);
	row.cooldown_ms = number_at(result, i, COOLDOWN);
	return store_known_take(&link->known, &row, uuid_is_none(&holder.id) ? NULL : &holder);
}

static void take_report(struct store_link *link, const struct exchange_request *request, struct store_answer *answer,
	const PGresult *result)
{
	static const struct pg_error no_memory = {"", EXCHANGE_UNAVAILABLE, false, NULL};
	text_at(result, 0, PAUSED, answer->reply->paused, sizeof answer->reply->paused);
	for (int i = 0; i < PQntuples(result); i++)
		if (!take_row(link, request, answer, result, i)) {
			pg_fail(link, answer, &no_memory, "no memory for the rows");
			return;
		}
	link->reread = request->report && !store_known_answer(&link->known, answer, number_at(result, 0, CLOCK));
}

static void take_history(struct store_link *link, const struct exchange_request *request, struct store_answer *answer,
	const PGresult *result)
{
	enum { NR = HEAD_COLUMNS, TERM, NODE, FROM, TO, REASON };
	struct exchange_reply *reply = answer->reply;
	bool every = request->history_lease == EXCHANGE_EVERY_LEASE;
	for (int i = 0; i < PQntuples(result) && reply->past_count < request->history_count; i++) {
		size_t nr = (size_t)number_at(result, i, NR);
		if (nr < 1 || nr > link->names->count)
			continue; // the one row that is always there
		struct exchange_past *past = &answer->past[reply->past_count++];
		*past = (struct exchange_past){
			.lease = every ? (uint32_t)(nr - 1) : request->history_lease,
			.term = (uint64_t)number_at(result, i, TERM),
			.from_ms = number_at(result, i, FROM),
			.to_ms = number_at(result, i, TO),
		};
		text_at(result, i, NODE, past->node, sizeof past->node);
		text_at(result, i, REASON, past->reason, sizeof past->reason);
	}
}

static void take_result(struct store_link *link, const struct exchange_request *request, struct store_answer *answer,
	enum statement which, const PGresult *result)
{
	static const struct pg_error confused = {"", EXCHANGE_UNKNOWN, true, NULL};
	if (columns_read[which] == 0)
		return;
	if (PQntuples(result) == 0 || PQnfields(result) < columns_read[which]) {
		pg_fail(link, answer, &confused, "the server answered something else than was asked");
		return;
	}
	if (which == LOOK) {
		take_process(link, result);
		(void)take_server(link, answer, result);
		return;
	}
	if (!take_head(link, answer, result))
		return;
	link->wrote |= which < REPORT;
	if (which <= SESSION_DELETE)
		take_session(answer, result);
	else if (which == CHANGE)
		take_grants(link, request, answer, result);
	else if (which == ASK)
		answer->reply->asked = number_at(result, 0, HEAD_COLUMNS) == 1;
	else if (which == REPORT)
		take_report(link, request, answer, result);
	else if (which == HISTORY)
		take_history(link, request, answer, result);
}

// Everything of a statement, and the sync that ends its transaction. Unless the connection is broken, the next
// statement can be read then.
static void receive_statement(struct store_link *link, const struct exchange_request *request,
	struct store_answer *answer, enum statement which, bool commits)
{
	static const struct pg_error late = {"", EXCHANGE_UNKNOWN, true, NULL};
	for (;;) {
		PGresult *result = NULL;
		if (!pg_next_result(link, &result)) {
			pg_fail(link, answer, &late, "no answer within the timeout");
			return;
		}
		ExecStatusType status = PQresultStatus(result);
		if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
			take_result(link, request, answer, which, result);
		else if (result && status != PGRES_PIPELINE_SYNC && status != PGRES_PIPELINE_ABORTED)
			pg_fail_by_result(link, answer, result);
		PQclear(result);
		if (!result && PQstatus(link->connection) == CONNECTION_BAD)
			pg_fail(link, answer, &late, "the connection was lost");
		if (status == PGRES_PIPELINE_SYNC || (!result && !commits) || link->broken)
			return;
	}
}

// ---- a round trip ----

// A change is one transaction; of everything else each statement is, but for the renewal of who leads nothing: that is
// for its claim, and has others wait for one commit less.
static bool commits(const struct exchange_request *request, enum statement which, const bool wanted[static STATEMENTS])
{
	bool alone = request->holds || wanted[ADOPT] || wanted[MISSING];
	bool renews = which == SESSION_RENEW || which == SESSION_PUBLISH;
	return !wanted[CHANGE] || !(which == RELEASE || (renews && !alone));
}

bool pg_round_trip(struct store_link *link, const struct exchange_request *request, struct store_answer *answer,
	const bool wanted[static STATEMENTS])
{
	static const struct pg_error unsent = {"", EXCHANGE_UNAVAILABLE, true, NULL};
	static const struct pg_error partly_sent = {"", EXCHANGE_UNKNOWN, true, NULL};
	bool any = false;
	for (enum statement which = 0; which < STATEMENTS; which++) {
		if (!wanted[which])
			continue;
		bool sent = send_one(link, request, which) &&
			    (!commits(request, which, wanted) || PQpipelineSync(link->connection));
		if (!sent) {
			pg_fail(link, answer, any ? &partly_sent : &unsent, "the connection was lost");
			return false;
		}
		any = true;
	}
	for (enum statement which = 0; which < STATEMENTS && !link->broken; which++)
		if (wanted[which])
			receive_statement(link, request, answer, which, commits(request, which, wanted));
	return !link->failed;
}

// What a hand-over waits for, and what is sent all the time, is parsed once for a connection, and planned when it is
// first carried out, on nothing. With true in `wanted` for what is to be kept from now on.
static bool keep(struct store_link *link, struct store_answer *answer, const bool wanted[static STATEMENTS])
{
	static const struct pg_error unsent = {"", EXCHANGE_UNAVAILABLE, true, NULL};
	static const struct exchange_request nothing;
	if (link->pooled || link->forgetful)
		return true;
	char name[OPTION_TEXT_SIZE];
	bool sent = true;
	size_t count = 0;
	for (enum statement which = 0; which < STATEMENTS; which++)
		if (wanted[which]) {
			put_kept_name(which, name);
			sent = sent && PQsendPrepare(link->connection, name, link->sql[which], 0, NULL);
			link->kept[which] = true;
			count++;
		}
	if (!sent || !PQpipelineSync(link->connection)) {
		pg_fail(link, answer, &unsent, "the connection was lost");
		return false;
	}
	// Nothing is made of their answers, as of those of LISTEN.
	for (; count > 0 && !link->broken; count--)
		receive_statement(link, &nothing, answer, LISTEN, count == 1);
	link->broken |= link->failed; // some may be there
	return !link->failed;
}

bool pg_settle(struct store_link *link, struct store_answer *answer)
{
	static const bool kept[STATEMENTS] = {[CHANGE] = true};
	// An empty renewal, change and ask tell whether the privileges are there, before they are needed (W23).
	static const bool settle[STATEMENTS] = {[SETTINGS] = true,
		[SESSION_PUBLISH] = true,
		[CHANGE] = true,
		[TRIM] = true,
		[ASK] = true,
		[LISTEN] = true};
	static const bool settle_pooled[STATEMENTS] = {
		[SESSION_PUBLISH] = true, [CHANGE] = true, [TRIM] = true, [ASK] = true};
	static const struct exchange_request nothing;
	return keep(link, answer, kept) && pg_round_trip(link, &nothing, answer, link->pooled ? settle_pooled : settle);
}

bool pg_keep_statements(struct store_link *link, struct store_answer *answer)
{
	static const bool kept[STATEMENTS] = {
		[SESSION_RENEW] = true, [SESSION_DELETE] = true, [RELEASE] = true, [REPORT_CHANGED] = true};
	static const bool planned[STATEMENTS] = {[SESSION_RENEW] = true, [SESSION_DELETE] = true, [RELEASE] = true};
	static const struct exchange_request nothing;
	const struct exchange_request *request = link->call->request;
	bool awaited = request->session_op != EXCHANGE_SESSION_RENEW || request->claim_count || request->release_count;
	if (link->kept[RELEASE] || link->pooled || link->forgetful || !link->settled || awaited)
		return true;
	bool done = keep(link, answer, kept) && pg_round_trip(link, &nothing, answer, planned);
	link->wrote = false;
	return done;
}
