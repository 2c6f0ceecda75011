// SPDX-License-Identifier: Apache-2.0
// The driver for MySQL 8 and MariaDB 10.6, on either's client library.
//
// Statements go in packets of several, each committed by itself but for the
// change (rule 13), which no single statement can be here: it is a transaction
// of two packets. The first locks what it can have, skipping what others hold
// (rule 14); what it reads that way is the newest that was committed, whatever
// snapshot there is, and stays so until the end. Upon that it is decided here;
// the second packet writes the decision by primary key, and commits. A daemon
// that stops in between holds these locks until the server gives its connection
// up: see put_settings(). Kill and claim are one transaction, and a claim after
// a kill that did nothing is not made (rule 4).
//
// The client library blocks; the watch keeps the deadline by shutting its
// socket down. A change is announced through the waiter: see mysql_wait.c.
#include "mysql_link.h"

#include "clock.h"
#include "mysql_sql.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

// ---- the exchange's statements ----

static void put_session(struct store_link *link, const struct exchange_request *request)
{
	switch (request->session_op) {
	case EXCHANGE_SESSION_CREATE:
		my_put_statement(link, SESSION,
			"INSERT IGNORE INTO ~tenure_session (id, node, seq, lease_ms, started_at, renewed_at)"
			" VALUES (");
		my_put_uuid(link, &request->session);
		my_put(link, ", ");
		my_put_name(link, link->config->node);
		my_put(link, ", 1, ");
		my_put_number(link, request->lease_ms);
		my_put(link, ", UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))");
		return;
	case EXCHANGE_SESSION_RENEW:
		my_put_statement(link, SESSION,
			"UPDATE ~tenure_session SET seq = seq + 1, renewed_at = UTC_TIMESTAMP(6) WHERE id = ");
		my_put_uuid(link, &request->session);
		return;
	case EXCHANGE_SESSION_DELETE:
		my_put_statement(link, SESSION, "DELETE FROM ~tenure_session WHERE id = ");
		my_put_uuid(link, &request->session);
		return;
	case EXCHANGE_SESSION_NONE:
	default:
		return;
	}
}

#define NOW_US "UNIX_TIMESTAMP() * 1000000 + MICROSECOND(NOW(6))"

// The larger of its last generation and the highest term.
static void put_last(struct store_link *link, const struct exchange_request *request)
{
	my_put(link, "GREATEST(generation, ");
	my_put_number(link, (int64_t)request->highest_term);
	my_put(link, ")");
}

// Rule 5.
static void put_adopt(struct store_link *link, const struct exchange_request *request)
{
	if (!request->adopt)
		return;
	my_put_statement(link, ADOPT, "UPDATE ~tenure_store SET generation = CASE WHEN " NOW_US " > ");
	put_last(link, request);
	my_put(link, " THEN " NOW_US " ELSE ");
	put_last(link, request);
	my_put(link, " + ");
	my_put_number(link, (int64_t)request->leap);
	my_put(link, " END, incarnation = ");
	my_put_text(link, request->incarnation.text);
	my_put(link, " WHERE id = 1 AND (incarnation <> ");
	my_put_text(link, request->incarnation.text);
	my_put(link, " OR generation < ");
	my_put_number(link, (int64_t)request->highest_term);
	my_put(link, ") AND (SELECT server.incarnation FROM (" LIFE ") server) = ");
	my_put_text(link, request->incarnation.text);
}

static void start_missing(struct store_link *link)
{
	my_put(link, "INSERT IGNORE INTO ~tenure_lease (component, node, term, generation, changed_at) VALUES ");
}

static bool is_missing(const struct store_link *link, uint32_t lease)
{
	return link->leases[lease].claim && link->leases[lease].claim->missing;
}

static void item_missing(struct store_link *link, uint32_t lease)
{
	my_put(link, "(");
	my_item_name(link, lease);
	my_put(link, ", '', 0, 0, UTC_TIMESTAMP(6))");
}

static void start_lock(struct store_link *link)
{
	my_put(link, sql_lock_leases);
}

static bool is_asked(const struct store_link *link, uint32_t lease)
{
	return link->leases[lease].release || link->leases[lease].claim;
}

// Only a row that can be had is locked.
static void item_lock(struct store_link *link, uint32_t lease)
{
	const struct exchange_release *release = link->leases[lease].release;
	const struct exchange_claim *claim = link->leases[lease].claim;
	my_put(link, "(component = ");
	my_item_name(link, lease);
	if (!release)
		my_put(link, " AND (session IS NULL");
	if (release || !uuid_is_none(&claim->holder)) {
		my_put(link, release ? " AND session = " : " OR session = ");
		my_put_uuid(link, release ? &link->call->request->session : &claim->holder);
		my_put(link, " AND term = ");
		my_put_number(link, (int64_t)(release ? release->term : claim->term));
	}
	my_put(link, release ? ")" : "))");
}

static void start_release(struct store_link *link)
{
	my_put(link, "UPDATE ~tenure_lease SET session = NULL, changed_at = "
		     "UTC_TIMESTAMP(6) WHERE component IN (");
}

static bool is_to_be_released(const struct store_link *link, uint32_t lease)
{
	return link->leases[lease].decided && link->leases[lease].release;
}

// Rule 5; what start_claim() writes.
static uint64_t new_term(const struct store_link *link, const struct lease *lease)
{
	uint64_t next = lease->term + 1;
	return lease->generation == link->generation || next > link->generation ? next : link->generation;
}

// The assignments are made from left to right. The term is the one that is
// granted: see new_term().
static void start_claim(struct store_link *link)
{
	my_put(link, "UPDATE ~tenure_lease SET term = CASE WHEN generation = ");
	my_put_number(link, (int64_t)link->generation);
	my_put(link, " THEN term + 1 ELSE GREATEST(term + 1, ");
	my_put_number(link, (int64_t)link->generation);
	my_put(link, ") END, generation = ");
	my_put_number(link, (int64_t)link->generation);
	my_put(link, ", session = ");
	my_put_uuid(link, &link->call->request->session);
	my_put(link, ", node = ");
	my_put_text(link, link->node);
	my_put(link, ", acquired_at = UTC_TIMESTAMP(6), changed_at = UTC_TIMESTAMP(6) "
		     "WHERE component IN (");
}

static bool is_to_be_claimed(const struct store_link *link, uint32_t lease)
{
	return link->leases[lease].decided && link->leases[lease].claim;
}

static void start_rows(struct store_link *link)
{
	my_put(link, sql_rows);
}

static bool is_any(const struct store_link *link, uint32_t lease)
{
	(void)link;
	(void)lease;
	return true;
}

static const struct listing list_missing = {MISSING, start_missing, is_missing, item_missing, ", ", ""};
static const struct listing list_locks = {
	LOCK_LEASES, start_lock, is_asked, item_lock, " OR ", " FOR UPDATE SKIP LOCKED"};
static const struct listing list_releases = {CHANGE, start_release, is_to_be_released, my_item_name, ", ", ")"};
static const struct listing list_claims = {CHANGE, start_claim, is_to_be_claimed, my_item_name, ", ", ")"};
static const struct listing list_rows = {ROWS, start_rows, is_any, my_item_name, ", ", ")"};

// ---- the history ----

// It is for people, and no leader waits for it (rule 14). MySQL has no such thing, and on Galera a statement in another
// one can miss that the transaction was ended; there it is the usual second.
static void put_at_once(struct store_link *link, const char *sql)
{
	my_put(link, link->mariadb && !link->galera ? "SET STATEMENT innodb_lock_wait_timeout = 0 FOR " : "");
	my_put(link, sql);
}

static void start_look_past(struct store_link *link)
{
	int64_t count = link->config->history_count;
	my_put(link, sql_look_past);
	my_put_number(link, link->config->history_ms * 1000);
	my_put(link, sql_look_past_count);
	my_put_number(link, count > 0 ? count - 1 : 0);
	my_put(link, sql_look_past_where);
}

static bool is_wanted(const struct store_link *link, uint32_t lease)
{
	return link->leases[lease].claim;
}

static void start_ended(struct store_link *link)
{
	put_at_once(link, "UPDATE ~tenure_history FORCE INDEX (PRIMARY) SET ended_at = UTC_TIMESTAMP(6), reason = ");
	my_put_name(link, link->reason);
	my_put(link, " WHERE ended_at IS NULL AND (");
}

static bool is_ended(const struct store_link *link, uint32_t lease)
{
	return is_to_be_released(link, lease) && strcmp(link->leases[lease].release->reason, link->reason) == 0;
}

static void put_term(struct store_link *link, uint32_t lease, const char *compare, uint64_t term)
{
	my_put(link, "(component = ");
	my_item_name(link, lease);
	my_put(link, compare);
	my_put_number(link, (int64_t)term);
	my_put(link, ")");
}

static void item_ended(struct store_link *link, uint32_t lease)
{
	put_term(link, lease, " AND term = ", link->leases[lease].term);
}

// Of a claim: a term that nobody ended.
static bool is_lost(const struct store_link *link, uint32_t lease)
{
	return is_to_be_claimed(link, lease) && link->leases[lease].last_open;
}

static void item_lost(struct store_link *link, uint32_t lease)
{
	put_term(link, lease, " AND term = ", link->leases[lease].first_open);
	my_put(link, " OR ");
	put_term(link, lease, " AND term = ", link->leases[lease].last_open);
}

static void start_begun(struct store_link *link)
{
	put_at_once(link, "INSERT INTO ~tenure_history (component, term, node, began_at, reason) VALUES ");
}

static void item_begun(struct store_link *link, uint32_t lease)
{
	my_put(link, "(");
	my_item_name(link, lease);
	my_put(link, ", ");
	my_put_number(link, (int64_t)new_term(link, &link->leases[lease]));
	my_put(link, ", ");
	my_put_text(link, link->node);
	my_put(link, ", UTC_TIMESTAMP(6), '')");
}

static void start_trim(struct store_link *link)
{
	put_at_once(link, "DELETE FROM ~tenure_history USING ~tenure_history FORCE INDEX (PRIMARY) WHERE ");
}

static bool is_to_be_trimmed(const struct store_link *link, uint32_t lease)
{
	return is_to_be_claimed(link, lease) && link->leases[lease].trim;
}

// The new term stays.
static void item_trim(struct store_link *link, uint32_t lease)
{
	uint64_t last = new_term(link, &link->leases[lease]) - 1;
	put_term(link, lease, " AND term <= ", link->leases[lease].trim < last ? link->leases[lease].trim : last);
}

static const struct listing list_look_past = {LOOK_PAST, start_look_past, is_wanted, my_item_name, ", ", ")"};
static const struct listing list_ended = {PAST, start_ended, is_ended, item_ended, " OR ", ")"};
static const struct listing list_lost = {PAST, start_ended, is_lost, item_lost, " OR ", ")"};
static const struct listing list_begun = {PAST, start_begun, is_to_be_claimed, item_begun, ", ",
	" ON DUPLICATE KEY UPDATE node = VALUES(node), began_at = VALUES(began_at), ended_at = NULL, reason = ''"};
static const struct listing list_trim = {PAST, start_trim, is_to_be_trimmed, item_trim, " OR ", ""};

// By primary key, as all that is decided.
static void put_past(struct store_link *link, const struct exchange_request *request)
{
	for (size_t i = 0; i < request->release_count; i++) {
		size_t first = 0;
		link->reason = request->releases[i].reason;
		while (strcmp(request->releases[first].reason, link->reason) != 0)
			first++;
		if (first == i)
			my_put_listing(link, &list_ended);
	}
	link->reason = "lost";
	my_put_listing(link, &list_lost);
	if (link->config->history_count > 0)
		my_put_listing(link, &list_begun);
	my_put_listing(link, &list_trim);
}

// ---- what else is looked at ----

// `wanted` by kill or sweep; false where there is none.
static bool put_doomed(
	struct store_link *link, enum kind kind, const char *start, bool kills, bool sweeps, bool seq, const char *end)
{
	bool any = false;
	for (size_t i = 0; i < link->doomed_count; i++) {
		const struct doomed *doomed = &link->doomed[i];
		if (!(doomed->kill ? kills : sweeps))
			continue;
		if (!any)
			my_put_statement(link, kind, start);
		else
			my_put(link, seq ? " OR " : ", ");
		any = true;
		my_put(link, seq ? "id = " : "");
		my_put_uuid(link, &doomed->id);
		if (seq) {
			my_put(link, " AND seq = ");
			my_put_number(link, doomed->seq);
		}
	}
	if (any)
		my_put(link, end);
	return any;
}

// Locks what there is to decide on. My own session's row keeps it from being
// swept or killed meanwhile.
static void put_locks(struct store_link *link, const struct exchange_request *request)
{
	my_put_statement(link, WRITE, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED");
	my_put_statement(link, BEGIN, "START TRANSACTION");
	if (request->claim_count) {
		my_put_statement(link, LOCK_ME, "SELECT id, node FROM ~tenure_session WHERE id = ");
		my_put_uuid(link, &request->session);
		my_put(link, " FOR UPDATE SKIP LOCKED");
		// A pause waits for this claim, or this claim for the next exchange.
		my_put_statement(link, LOCK_STORE, "SELECT paused FROM ~tenure_store WHERE id = 1");
		my_put(link, link->mariadb ? " LOCK IN SHARE MODE SKIP LOCKED" : " FOR SHARE SKIP LOCKED");
	}
	my_put_listing(link, &list_locks);
	put_doomed(link, LOCK_SESSIONS, "SELECT id, seq FROM ~tenure_session FORCE INDEX (PRIMARY) WHERE ", true, true,
		true, " FOR UPDATE SKIP LOCKED");
	// These two do not lock. A session that is gone never comes back, and one
	// that is locked here gets no lease.
	put_doomed(link, LOOK_ALIVE, "SELECT id FROM ~tenure_session WHERE id IN (", true, false, false, ")");
	put_doomed(link, LOOK_NAMED, "SELECT DISTINCT session FROM ~tenure_lease WHERE session IN (", false, true,
		false, ")");
	if (!link->forgets)
		my_put_listing(link, &list_look_past);
}

// Names are looked for by the server, or what others lead would count.
static void put_history(struct store_link *link, const struct exchange_request *request)
{
	bool every = request->history_lease == EXCHANGE_EVERY_LEASE;
	my_put_statement(link, HISTORY, sql_history);
	my_put(link, every ? "(tenure_history_began) WHERE h.component IN (''" : "(PRIMARY) WHERE h.component IN (''");
	for (uint32_t lease = 0; lease < link->names->count; lease++) {
		if (!every && lease != request->history_lease)
			continue;
		my_put(link, ", ");
		my_item_name(link, lease);
	}
	my_put(link, every ? ") ORDER BY h.began_at DESC, h.component DESC, h.term DESC LIMIT "
			   : ") ORDER BY h.term DESC LIMIT ");
	my_put_number(link, request->history_count);
}

static void put_rows(struct store_link *link, const struct exchange_request *request)
{
	char text[sizeof SQL_ROWS_CHANGED + 2 * sizeof "-9223372036854775808"];
	int64_t since_us;
	// On Galera the times are of different clocks: nothing that was known lasts.
	store_known_begin(&link->known, link->galera ? 0 : request->lease_ms, link->connections, &since_us);
	if (!since_us) {
		my_put_listing(link, &list_rows);
		return;
	}
	snprintf(text, sizeof text, SQL_ROWS_CHANGED, since_us, since_us);
	my_put_statement(link, ROWS, text);
	for (size_t i = 0; i < link->known.holder_count; i++) {
		my_put(link, i ? ", " : sql_holders);
		my_put_uuid(link, &link->known.holders[i].id);
	}
	my_put(link, link->known.holder_count ? ")" : "");
}

static void put_report(struct store_link *link, const struct exchange_request *request)
{
	if (request->report)
		put_rows(link, request);
	if (request->strays) {
		my_put_statement(link, STRAYS, sql_strays);
		my_put_number(link, EXCHANGE_STRAYS);
	}
	if (request->candidates)
		my_put_statement(link, CANDIDATES, sql_candidates);
	if (request->history_count)
		put_history(link, request);
	my_put_statement(link, HEAD, sql_head);
}

// ---- the change ----

static void doom(struct store_link *link, const struct uuid *id, int64_t seq, bool kill)
{
	for (size_t i = link->doomed_count; i > 0; i--) {
		const struct doomed *other = &link->doomed[i - 1];
		if (other->kill == kill && other->seq == seq && uuid_equal(&other->id, id))
			return;
	}
	link->doomed[link->doomed_count++] = (struct doomed){.id = *id, .seq = seq, .kill = kill};
}

static void collect(struct store_link *link, const struct exchange_request *request)
{
	memset(link->leases, 0, link->names->count * sizeof *link->leases);
	link->doomed_count = 0;
	link->me = false;
	link->elects = false;
	for (size_t i = 0; i < request->release_count; i++)
		link->leases[request->releases[i].lease].release = &request->releases[i];
	for (size_t i = 0; i < request->claim_count; i++) {
		const struct exchange_claim *claim = &request->claims[i];
		link->leases[claim->lease].claim = claim;
		if (!uuid_is_none(&claim->holder) && !uuid_equal(&claim->holder, &request->session))
			doom(link, &claim->holder, claim->holder_seq, true);
	}
	for (size_t i = 0; i < request->sweep_count && i < EXCHANGE_STRAYS; i++)
		doom(link, &request->sweeps[i].session, request->sweeps[i].seq, false);
}

static bool is_to_die(const struct doomed *doomed)
{
	return doomed->locked && (doomed->kill || !doomed->named);
}

// Whether the claim's holder is killed in this exchange, or has no row.
static bool is_holder_gone(const struct store_link *link, const struct exchange_claim *claim)
{
	for (size_t i = 0; i < link->doomed_count; i++) {
		const struct doomed *doomed = &link->doomed[i];
		if (doomed->kill && doomed->seq == claim->holder_seq && uuid_equal(&doomed->id, &claim->holder))
			return is_to_die(doomed) || !doomed->alive;
	}
	return false;
}

static bool can_claim(const struct store_link *link, const struct lease *lease)
{
	const struct exchange_claim *claim = lease->claim;
	if (uuid_is_none(&lease->session))
		return true;
	if (!uuid_equal(&lease->session, &claim->holder) || lease->term != claim->term)
		return false;
	return uuid_equal(&claim->holder, &link->call->request->session) || is_holder_gone(link, claim);
}

// Upon what was locked. What is not to be done for the incarnation's sake is
// not.
static void decide(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	struct exchange_reply *reply = answer->reply;
	bool sure = incarnation_equal(&reply->server, &request->incarnation);
	bool claims = link->me && link->elects && sure && incarnation_equal(&reply->believed, &request->incarnation);
	if (!sure)
		link->doomed_count = 0;
	link->changed = 0;
	reply->grant_count = 0;
	for (uint32_t i = 0; i < link->names->count; i++) {
		struct lease *lease = &link->leases[i];
		lease->decided = lease->locked && (lease->release || (claims && can_claim(link, lease)));
		link->changed += lease->decided;
		if (lease->decided && lease->claim)
			answer->grants[reply->grant_count++] = (struct exchange_grant){
				.lease = i,
				.term = new_term(link, lease),
			};
	}
}

// Whether others have to hear of it.
static bool put_decision(struct store_link *link, const struct exchange_request *request)
{
	bool announced = link->changed > 0;
	for (size_t i = 0; i < link->doomed_count; i++) {
		if (!is_to_die(&link->doomed[i]))
			continue;
		my_put_statement(link, WRITE, "DELETE FROM ~tenure_session WHERE id = ");
		my_put_uuid(link, &link->doomed[i].id);
		announced |= link->doomed[i].kill;
	}
	my_put_listing(link, &list_releases);
	my_put_listing(link, &list_claims);
	if (!link->forgets)
		put_past(link, request);
	return announced;
}

// What is asked of a term that was over when its row was read is not read by anybody.
static void put_ask(struct store_link *link, const struct exchange_ask *ask)
{
	my_put_statement(link, ASK, "");
	put_at_once(link,
		"INSERT INTO ~tenure_ask (component, term, target, cooldown_ms, asked_at) SELECT component, term, ");
	if (uuid_is_none(&ask->target))
		my_put(link, "NULL");
	else
		my_put_uuid(link, &ask->target);
	my_put(link, ", ");
	my_put_number(link, ask->cooldown_ms);
	my_put(link, ", UTC_TIMESTAMP(6) FROM ~tenure_lease WHERE component = ");
	my_item_name(link, ask->lease);
	my_put(link, " AND term = ");
	my_put_number(link, (int64_t)ask->term);
	my_put(link, " AND session IS NOT NULL ON DUPLICATE KEY UPDATE term = VALUES(term), target = VALUES(target),"
		     " cooldown_ms = VALUES(cooldown_ms), asked_at = VALUES(asked_at)");
}

static void put_pause(struct store_link *link, enum exchange_pause pause)
{
	my_put_statement(link, WRITE, "UPDATE ~tenure_store SET paused = ");
	my_put_name(link, pause == EXCHANGE_PAUSE_SET ? link->config->node : "");
	my_put(link, " WHERE id = 1");
}

// ---- the exchange ----

static int allocate(struct store_link *link);

// What my_announce() is still to be told.
static void settle(struct store_link *link)
{
	if (!link->owed)
		return;
	link->owed = false;
	int more = mysql_read_query_result(link->connection) ? 1 : 0;
	while (more == 0)
		more = mysql_next_result(link->connection);
	unsigned code = mysql_errno(link->connection);
	if (code >= CLIENT_ERRORS && code < CLIENT_ERRORS_END)
		my_disconnect(link);
}

// So that a connection that ended while nobody looked costs a reconnection and
// not an exchange.
static void drop_if_dead(struct store_link *link)
{
	if (!link->connection)
		return;
	struct pollfd unasked = {.fd = my_socket_of(link->connection), .events = POLLIN};
	if (poll(&unasked, 1, 0) != 0)
		my_disconnect(link);
}

// The last moment to leave it.
static bool is_in_time(struct store_link *link, struct store_answer *answer)
{
	static const struct error_class late = {0, EXCHANGE_UNAVAILABLE, false, NULL};
	return my_is_time_left(link) || my_fail(link, answer, &late, "connecting took the whole timeout");
}

// The names may have grown since.
static bool has_room(struct store_link *link, struct store_answer *answer)
{
	static const struct error_class no_memory = {0, EXCHANGE_UNAVAILABLE, false, NULL};
	return link->room == link->names->count || allocate(link) == 0 ||
	       my_fail(link, answer, &no_memory, "no memory");
}

// What follows goes in another packet.
static bool send_on(struct store_link *link, struct store_answer *answer)
{
	return my_round_trip(link, answer) && my_packet_new(link, answer);
}

static void roll_back(struct store_link *link)
{
	if (link->in_transaction && !link->broken && mysql_query(link->connection, "ROLLBACK") != 0)
		link->broken = true;
	link->in_transaction = false;
}

static bool try_change(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	static const struct error_class torn = {0, EXCHANGE_UNKNOWN, true, NULL};
	bool pause = request->pause != EXCHANGE_PAUSE_LEAVE;
	my_put_statement(link, HEAD, sql_head);
	put_locks(link, request);
	if (!send_on(link, answer))
		return false;
	decide(link, request, answer);
	bool announced = put_decision(link, request) || pause;
	if (request->ask)
		put_ask(link, request->ask);
	if (pause)
		put_pause(link, request->pause);
	link->changes = announced || request->ask;
	my_put_statement(link, COMMIT, "COMMIT");
	put_report(link, request);
	if (link->changes)
		my_put_waiters(link);
	if (!my_round_trip(link, answer))
		return false;
	if (!announced && !answer->reply->asked)
		link->waiter_count = 0;
	return link->changed == 0 || my_fail(link, answer, &torn, "a row that was locked is gone");
}

// Where somebody holds rows of the history, it is made again without. On Galera each statement goes by itself: where
// another node ended the transaction, one that has others behind it succeeds all the same, and those behind it would be
// carried out on their own.
static bool change(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	link->forgets = false;
	link->one_by_one = link->galera;
	if (try_change(link, request, answer))
		return true;
	if (!link->held)
		return false;
	link->forgets = true;
	roll_back(link);
	collect(link, request);
	if (link->broken || !my_packet_new(link, answer) || !try_change(link, request, answer))
		return false;
	store_text(answer->reply->text, "MySQL: somebody holds rows of tenure_history: what changed is missing there");
	return true;
}

// One packet where nothing changes hands, which one server answers as a whole,
// so that one look at it is enough.
static bool talk_of(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	bool changes = request->release_count || request->claim_count || request->sweep_count || request->ask ||
		       request->pause != EXCHANGE_PAUSE_LEAVE;
	collect(link, request);
	if (!my_packet_new(link, answer))
		return false;
	put_session(link, request);
	put_adopt(link, request);
	my_put_listing(link, &list_missing);
	if (changes)
		return change(link, request, answer);
	put_report(link, request);
	return my_round_trip(link, answer);
}

// What the session offers has a row of its own: the one that is renewed again and again stays short, also in the log
// for replicas. Nothing is written where it is the same, or where the session is gone. Who begins takes away what one
// session that ended has left.
static void put_offers(struct store_link *link, const struct exchange_request *request, const char *offers)
{
	my_put_statement(link, OFFERED, "");
	put_at_once(link, "INSERT INTO ~tenure_offer (session, offers) SELECT id, ");
	my_put_name(link, offers);
	my_put(link, " FROM ~tenure_session WHERE id = ");
	my_put_uuid(link, &request->session);
	my_put(link, " ON DUPLICATE KEY UPDATE offers = VALUES(offers)");
	if (request->session_op != EXCHANGE_SESSION_CREATE)
		return;
	my_put_statement(link, OFFERED, sql_look_past_offers);
	my_put_statement(link, OFFERED, "");
	put_at_once(link, "DELETE FROM ~tenure_offer WHERE session = @tenure_past");
}

// By itself, and after all the rest, which does not depend on it.
static bool say_offers(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	static const struct error_class no_memory = {0, EXCHANGE_UNAVAILABLE, false, NULL};
	char *offers = store_offers_text(request, link->names);
	if (!offers)
		return my_fail(link, answer, &no_memory, "no memory");
	bool done = my_packet_new(link, answer);
	if (done) {
		put_offers(link, request, offers);
		done = my_round_trip(link, answer);
	}
	free(offers);
	return done || !link->failed;
}

static bool talk(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	bool says = request->session_op == EXCHANGE_SESSION_CREATE ||
		    (request->session_op == EXCHANGE_SESSION_RENEW && request->publish);
	return talk_of(link, request, answer) && (!says || say_offers(link, request, answer));
}

static bool take_known(struct store_link *link, struct store_answer *answer)
{
	const struct exchange_request *request = link->call->request;
	if (!request->report || store_known_answer(&link->known, answer, link->clock_us))
		return true;
	// Another server answers than the one whose rows are known.
	if (!my_packet_new(link, answer))
		return false;
	put_rows(link, request);
	my_put_statement(link, HEAD, sql_head);
	return my_round_trip(link, answer) && store_known_answer(&link->known, answer, link->clock_us);
}

static void mysql_exchange(struct store_link *link, const struct store_call *call, struct store_answer *answer)
{
	link->call = call;
	link->wrote = link->committed = link->in_transaction = link->failed = link->broken = false;
	link->waiter_count = 0;
	link->held = link->one_by_one = false;
	watch_begin(link->watch, call->deadline_at, call->abort_fd);
	settle(link);
	drop_if_dead(link);
	if (has_room(link, answer) && (link->connection || my_connect_any(link, answer)) && is_in_time(link, answer) &&
		talk(link, call->request, answer) && take_known(link, answer)) {
		answer->reply->outcome = EXCHANGE_OK;
		answer->reply->connection = link->connections;
		answer->reply->deaf = my_is_deaf(link, answer->reply);
		my_announce(link, answer);
	} else if (link->connection) {
		roll_back(link);
	}
	if (watch_end(link->watch))
		link->broken = true;
	if (link->broken && link->connection) {
		my_disconnect(link);
		link->next_host = (link->next_host + 1) % link->host_count;
	}
	link->call = NULL;
}

// ---- opening and closing ----

static void release_arrays(struct store_link *link)
{
	free(link->kinds);
	free(link->starts);
	free(link->leases);
	free(link->doomed);
	link->kinds = NULL;
	link->starts = NULL;
	link->leases = NULL;
	link->doomed = NULL;
	link->room = 0;
}

static int allocate(struct store_link *link)
{
	size_t count = link->names->count;
	release_arrays(link);
	// A statement a session that is to die and one a reason, some lists, and what there is once.
	size_t statements = 2 * count + EXCHANGE_STRAYS + 8 * (count / CHUNK + 1) + 32;
	link->kinds = calloc(statements, sizeof *link->kinds);
	link->starts = calloc(statements, sizeof *link->starts);
	link->leases = calloc(count + 1, sizeof *link->leases);
	link->doomed = calloc(count + EXCHANGE_STRAYS, sizeof *link->doomed);
	if (!link->kinds || !link->starts || !link->leases || !link->doomed ||
		store_known_grow(&link->known, link->names) < 0)
		return -ENOMEM;
	link->room = count;
	return 0;
}

static void link_free(struct store_link *link)
{
	my_waiter_free(link->waiter);
	my_disconnect(link);
	watch_free(link->watch);
	my_free_hosts(link);
	release_arrays(link);
	store_known_free(&link->known);
	free(link->schema);
	free(link->waiters);
	free(link);
}

void my_close(struct store_link *link)
{
	link_free(link);
	mysql_thread_end();
}

static void start_library(void)
{
	mysql_library_init(0, NULL, NULL);
}

int my_open(struct store_link **ret, const struct store_config *config, const struct store_names *names)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char text[EXCHANGE_TEXT_SIZE];
	pthread_once(&once, start_library);
	struct store_link *link = calloc(1, sizeof *link);
	if (!link)
		return -ENOMEM;
	link->config = config;
	link->names = names;
	int error = my_set_hosts(link, config, text);
	link->schema = my_quote_schema(config->schema);
	if (error == 0)
		error = link->schema ? allocate(link) : -ENOMEM;
	if (error == 0)
		error = watch_new(&link->watch);
	if (error == 0)
		error = my_waiter_new(&link->waiter, link);
	if (error < 0) {
		link_free(link);
		return error;
	}
	*ret = link;
	return 0;
}

const struct store_driver store_mysql = {
	.name = "mysql",
	.version = TENURE_VERSION,
	.check = my_check,
	.init_schema = my_init_schema,
	.print_schema = my_print_schema,
	.open = my_open,
	.exchange = mysql_exchange,
	.hint_fd = my_hint_fd,
	.take_hint = my_take_hint,
	.close = my_close,
};
