// SPDX-License-Identifier: Apache-2.0
// The driver for SQLite: daemons of one host, a file of their own.
//
// An exchange is one transaction here: the database has one writer at a time, so nothing is gained by committing each
// statement by itself, and one commit is one fsync. A change is announced by touching a file beside the database,
// which the other daemons watch; PRAGMA data_version tells them from their own.
#include "driver.h"

#include "clock.h"
#include "sqlite_sql.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

// How long to sleep before another try for a lock that somebody holds.
#define BUSY_SLEEP_MS 2
// Every so many steps of SQLite's machine the deadline is looked at.
#define PROGRESS_STEPS 1000
#define HINT_SUFFIX "-hint"

struct store_link {
	const struct store_config *config;
	const struct store_names *names;
	sqlite3 *db; // NULL: not connected
	sqlite3_stmt *statements[STATEMENTS];
	uint64_t connections;
	dev_t device; // of the file that is open
	ino_t inode;
	int64_t data_version; // as of the last exchange
	uint64_t generation;  // tenure_store's, in this exchange
	int hint_file;
	int inotify;
	// Of the exchange that runs, for SQLite's callbacks.
	int64_t deadline_at;
	int abort_fd;
};

// ---- errors ----

struct error_class {
	int code; // SQLite's primary result code
	enum exchange_outcome outcome;
	const char *advice;
};

static const struct error_class error_classes[] = {
	{SQLITE_BUSY, EXCHANGE_BUSY, "another process holds the lock"},
	{SQLITE_LOCKED, EXCHANGE_BUSY, "another process holds the lock"},
	{SQLITE_INTERRUPT, EXCHANGE_BUSY, "it took longer than the timeout"},
	{SQLITE_IOERR, EXCHANGE_UNAVAILABLE, "look at the file system"},
	{SQLITE_NOMEM, EXCHANGE_UNAVAILABLE, "look at the memory"},
	{SQLITE_FULL, EXCHANGE_DENIED, "make room on the file system"},
	{SQLITE_READONLY, EXCHANGE_DENIED, "the daemon's user has to be able to write the file and its directory"},
	{SQLITE_PERM, EXCHANGE_DENIED, "the daemon's user has to be able to write the file and its directory"},
	{SQLITE_CANTOPEN, EXCHANGE_DENIED, "the daemon's user has to be able to write the file and its directory"},
	{SQLITE_NOTADB, EXCHANGE_DENIED, "name another file, or remove this one and run tenurectl init"},
	{SQLITE_CORRUPT, EXCHANGE_DENIED, "stop every daemon, remove the file and run tenurectl init"},
	{SQLITE_ERROR, EXCHANGE_DENIED, "run tenurectl init"},
};

static const struct error_class *classify(int code)
{
	static const struct error_class other = {0, EXCHANGE_DENIED, "this was not expected"};
	for (size_t i = 0; i < COUNT_OF(error_classes); i++)
		if (error_classes[i].code == (code & 0xff))
			return &error_classes[i];
	return &other;
}

// False, for `return fail(…)`.
static bool fail(struct store_link *link, struct store_answer *answer, int code)
{
	const struct error_class *class = classify(code);
	const char *message = link->db ? sqlite3_errmsg(link->db) : sqlite3_errstr(code);
	store_answer_fail(answer, class->outcome, "%s: %s: %s", link->config->path, message, class->advice);
	return false;
}

// ---- connecting ----

static bool is_aborted(const struct store_link *link)
{
	struct pollfd abort = {.fd = link->abort_fd, .events = POLLIN};
	return poll(&abort, 1, 0) > 0 || clock_now_ns() >= link->deadline_at;
}

static int on_busy(void *argument, int tries)
{
	struct store_link *link = argument;
	(void)tries;
	struct pollfd abort = {.fd = link->abort_fd, .events = POLLIN};
	return poll(&abort, 1, BUSY_SLEEP_MS) == 0 && !is_aborted(link);
}

static int on_progress(void *argument)
{
	return is_aborted(argument);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void disconnect(struct store_link *link)
{
	for (size_t i = 0; i < STATEMENTS; i++) {
		sqlite3_finalize(link->statements[i]);
		link->statements[i] = NULL;
	}
	sqlite3_close(link->db);
	link->db = NULL;
	close_fd(&link->hint_file);
	close_fd(&link->inotify);
}

// The file's status; -errno and a text where it cannot be a database.
static int look_at_file(const char *path, struct stat *ret, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	struct stat status;
	int error = stat(path, &status) < 0 ? -errno : 0;
	if (error == -ENOENT)
		store_text(ret_text, "%s: does not exist: run tenurectl init", path);
	else if (error < 0)
		store_text(ret_text, "%s: %s", path, strerror(-error));
	else if (!S_ISREG(status.st_mode))
		store_text(ret_text, "%s: %s, not a file: name a file in path", path,
			S_ISDIR(status.st_mode) ? "a directory" : "something special");
	if (error == 0 && !S_ISREG(status.st_mode))
		error = -EINVAL;
	if (error == 0)
		*ret = status;
	return error;
}

// Best effort: without it, changes by others are seen by the next poll.
static void watch_hints(struct store_link *link, const struct stat *database)
{
	char path[PATH_MAX];
	close_fd(&link->hint_file);
	close_fd(&link->inotify);
	int length = snprintf(path, sizeof path, "%s" HINT_SUFFIX, link->config->path);
	if (length < 0 || (size_t)length >= sizeof path)
		return;
	link->hint_file =
		open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, database->st_mode & 0666);
	if (link->hint_file < 0)
		return;
	// As SQLite does with its own side files: root's are the owner's of the database.
	if (geteuid() == 0 && fchown(link->hint_file, database->st_uid, database->st_gid) < 0) {
		close_fd(&link->hint_file);
		return;
	}
	link->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (link->inotify >= 0 && inotify_add_watch(link->inotify, path, IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF) < 0)
		close_fd(&link->inotify);
}

static int query_number(sqlite3 *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *statement;
	int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
	if (code != SQLITE_OK)
		return code;
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		*ret = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static bool check_version(const struct store_link *link, struct store_answer *answer, int64_t version)
{
	if (version == SCHEMA_VERSION)
		return true;
	store_answer_fail(answer, EXCHANGE_DENIED, "%s: schema version %lld found, %d needed: run %s",
		link->config->path, (long long)version, SCHEMA_VERSION,
		version < SCHEMA_VERSION ? "tenurectl init" : "the tenured that goes with it");
	return false;
}

static bool prepare_all(struct store_link *link, struct store_answer *answer)
{
	for (size_t i = 0; i < STATEMENTS; i++) {
		int code = sqlite3_prepare_v3(
			link->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &link->statements[i], NULL);
		if (code != SQLITE_OK)
			return fail(link, answer, code);
	}
	return true;
}

static bool connect_file(struct store_link *link, struct store_answer *answer)
{
	struct stat status;
	const char *path = link->config->path;
	answer->reply->outcome = EXCHANGE_DENIED;
	if (look_at_file(path, &status, answer->reply->text) != 0)
		return false;
	int64_t version = 0;
	int code = sqlite3_open_v2(path, &link->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (code != SQLITE_OK)
		return fail(link, answer, code);
	if (sqlite3_db_readonly(link->db, "main") == 1)
		return fail(link, answer, SQLITE_READONLY);
	sqlite3_busy_handler(link->db, on_busy, link);
	sqlite3_progress_handler(link->db, PROGRESS_STEPS, on_progress, link);
	code = sqlite3_exec(link->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = query_number(link->db, "SELECT schema_version FROM tenure_store", &version);
	if (code != SQLITE_OK)
		return fail(link, answer, code);
	if (!check_version(link, answer, version) || !prepare_all(link, answer))
		return false;
	link->device = status.st_dev;
	link->inode = status.st_ino;
	link->connections++;
	watch_hints(link, &status);
	return true;
}

// A file that was removed or replaced under us is another database.
static bool is_same_file(const struct store_link *link)
{
	struct stat status;
	return stat(link->config->path, &status) == 0 && status.st_dev == link->device && status.st_ino == link->inode;
}

// ---- the exchange ----

static void bind_uuid(sqlite3_stmt *statement, int index, const struct uuid *id)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(id, text);
	sqlite3_bind_text(statement, index, text, -1, SQLITE_TRANSIENT);
}

static void bind_name(sqlite3_stmt *statement, int index, const struct store_link *link, uint32_t lease)
{
	sqlite3_bind_text(statement, index, link->names->name[lease], -1, SQLITE_STATIC);
}

static void column_uuid(sqlite3_stmt *statement, int column, struct uuid *ret)
{
	const unsigned char *text = sqlite3_column_text(statement, column);
	if (!text || uuid_parse((const char *)text, ret) < 0)
		*ret = (struct uuid){0};
}

// Nobody ever had a negative one.
static uint64_t column_term(sqlite3_stmt *statement, int column)
{
	int64_t term = sqlite3_column_int64(statement, column);
	return term > 0 ? (uint64_t)term : 0;
}

static void column_text(sqlite3_stmt *statement, int column, char *ret, size_t size)
{
	const unsigned char *text = sqlite3_column_text(statement, column);
	snprintf(ret, size, "%s", text ? (const char *)text : "");
}

// Runs a statement that answers nothing; the number of rows it changed, or -1.
static int execute(struct store_link *link, struct store_answer *answer, enum statement which)
{
	int code = sqlite3_step(link->statements[which]);
	int changed = sqlite3_changes(link->db);
	if (code != SQLITE_DONE && code != SQLITE_ROW)
		fail(link, answer, code);
	sqlite3_reset(link->statements[which]);
	return code == SQLITE_DONE || code == SQLITE_ROW ? changed : -1;
}

static bool begin(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	bool writes = request->session_op != EXCHANGE_SESSION_NONE || request->adopt || request->release_count ||
		      request->claim_count || request->sweep_count || request->ask ||
		      request->pause != EXCHANGE_PAUSE_LEAVE;
	return execute(link, answer, writes ? BEGIN_WRITE : BEGIN_READ) >= 0;
}

// What tenure_store says now.
static bool read_store(struct store_link *link, struct store_answer *answer)
{
	sqlite3_stmt *statement = link->statements[STORE];
	struct exchange_reply *reply = answer->reply;
	int64_t version = 0;
	int code = sqlite3_step(statement);
	if (code == SQLITE_ROW) {
		version = sqlite3_column_int64(statement, 0);
		column_text(statement, 1, reply->server.text, sizeof reply->server.text);
		column_text(statement, 2, reply->believed.text, sizeof reply->believed.text);
		link->generation = (uint64_t)sqlite3_column_int64(statement, 3);
		column_text(statement, 4, reply->paused, sizeof reply->paused);
	} else if (code != SQLITE_DONE) {
		fail(link, answer, code);
	}
	sqlite3_reset(statement);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return false;
	return check_version(link, answer, version);
}

// So that an announcement can be told from the echo of one's own.
static int64_t data_version(struct store_link *link)
{
	sqlite3_stmt *statement = link->statements[DATA_VERSION];
	int64_t version = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
	sqlite3_reset(statement);
	return version;
}

static bool offer(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	char *text = store_offers_text(request, link->names);
	if (!text)
		return fail(link, answer, SQLITE_NOMEM);
	bind_uuid(link->statements[OFFER], 1, &request->session);
	sqlite3_bind_text(link->statements[OFFER], 2, text, -1, free);
	return execute(link, answer, OFFER) >= 0;
}

static bool do_session(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	static const enum statement statements[] = {
		[EXCHANGE_SESSION_CREATE] = SESSION_CREATE,
		[EXCHANGE_SESSION_RENEW] = SESSION_RENEW,
		[EXCHANGE_SESSION_DELETE] = SESSION_DELETE,
	};
	if (request->session_op == EXCHANGE_SESSION_NONE)
		return true;
	enum statement which = statements[request->session_op];
	bind_uuid(link->statements[which], 1, &request->session);
	if (which == SESSION_CREATE) {
		sqlite3_bind_text(link->statements[which], 2, link->config->node, -1, SQLITE_STATIC);
		sqlite3_bind_int64(link->statements[which], 3, request->lease_ms);
	}
	int changed = execute(link, answer, which);
	answer->reply->session_alive = changed == 1;
	if (changed < 0)
		return false;
	// What ended sessions have offered goes when the next one begins.
	if (which == SESSION_CREATE)
		return execute(link, answer, OFFERS_END) >= 0 && offer(link, request, answer);
	return which != SESSION_RENEW || !request->publish || offer(link, request, answer);
}

static bool do_adopt(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	if (!request->adopt || !incarnation_equal(&answer->reply->server, &request->incarnation))
		return true;
	sqlite3_bind_text(link->statements[ADOPT], 1, request->incarnation.text, -1, SQLITE_STATIC);
	sqlite3_bind_int64(link->statements[ADOPT], 2, (int64_t)request->highest_term);
	sqlite3_bind_int64(link->statements[ADOPT], 3, (int64_t)request->leap);
	return execute(link, answer, ADOPT) >= 0 && read_store(link, answer);
}

static bool do_missing(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	for (size_t i = 0; i < request->claim_count; i++) {
		if (!request->claims[i].missing)
			continue;
		bind_name(link->statements[MISSING], 1, link, request->claims[i].lease);
		if (execute(link, answer, MISSING) < 0)
			return false;
	}
	return true;
}

static bool end_term(struct store_link *link, struct store_answer *answer, const struct exchange_release *release)
{
	sqlite3_stmt *statement = link->statements[HISTORY_END];
	bind_name(statement, 1, link, release->lease);
	sqlite3_bind_int64(statement, 2, (int64_t)release->term);
	sqlite3_bind_text(statement, 3, release->reason ? release->reason : "", -1, SQLITE_STATIC);
	return execute(link, answer, HISTORY_END) >= 0;
}

// These add to `*changed` what is to be announced.
static bool do_releases(
	struct store_link *link, const struct exchange_request *request, struct store_answer *answer, int *changed)
{
	sqlite3_stmt *statement = link->statements[RELEASE];
	for (size_t i = 0; i < request->release_count; i++) {
		bind_name(statement, 1, link, request->releases[i].lease);
		bind_uuid(statement, 2, &request->session);
		sqlite3_bind_int64(statement, 3, (int64_t)request->releases[i].term);
		int count = execute(link, answer, RELEASE);
		if (count < 0 || (count > 0 && !end_term(link, answer, &request->releases[i])))
			return false;
		*changed += count;
	}
	return true;
}

static int delete_session(
	struct store_link *link, struct store_answer *answer, enum statement which, const struct uuid *id, int64_t seq)
{
	bind_uuid(link->statements[which], 1, id);
	sqlite3_bind_int64(link->statements[which], 2, seq);
	return execute(link, answer, which);
}

static bool do_deletes(
	struct store_link *link, const struct exchange_request *request, struct store_answer *answer, int *changed)
{
	for (size_t i = 0; i < request->sweep_count; i++)
		if (delete_session(link, answer, SWEEP, &request->sweeps[i].session, request->sweeps[i].seq) < 0)
			return false;
	for (size_t i = 0; i < request->claim_count; i++) {
		const struct exchange_claim *claim = &request->claims[i];
		if (uuid_is_none(&claim->holder) || uuid_equal(&claim->holder, &request->session))
			continue;
		int count = delete_session(link, answer, KILL, &claim->holder, claim->holder_seq);
		if (count < 0)
			return false;
		*changed += count;
	}
	return true;
}

// What was lost, what begins, and what is old.
static bool begin_term(struct store_link *link, struct store_answer *answer, uint32_t lease)
{
	static const enum statement statements[] = {HISTORY_LOST, HISTORY_BEGIN, HISTORY_TRIM};
	const struct store_config *config = link->config;
	sqlite3_bind_int64(link->statements[HISTORY_TRIM], 2, config->history_count);
	sqlite3_bind_int64(link->statements[HISTORY_TRIM], 3, config->history_ms);
	for (size_t i = 0; i < COUNT_OF(statements); i++) {
		bind_name(link->statements[statements[i]], 1, link, lease);
		if (execute(link, answer, statements[i]) < 0)
			return false;
	}
	return true;
}

static bool do_claim(struct store_link *link, const struct exchange_request *request, struct store_answer *answer,
	const struct exchange_claim *claim)
{
	sqlite3_stmt *statement = link->statements[CLAIM];
	bind_name(statement, 1, link, claim->lease);
	bind_uuid(statement, 2, &request->session);
	bind_uuid(statement, 3, &claim->holder);
	sqlite3_bind_int64(statement, 4, (int64_t)claim->term);
	sqlite3_bind_int64(statement, 5, (int64_t)link->generation);
	sqlite3_bind_int64(statement, 6, INT64_MAX - 1);
	int code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		answer->grants[answer->reply->grant_count++] = (struct exchange_grant){
			.lease = claim->lease,
			.term = (uint64_t)sqlite3_column_int64(statement, 0),
		};
	else if (code != SQLITE_DONE)
		fail(link, answer, code);
	sqlite3_reset(statement);
	return code == SQLITE_ROW ? begin_term(link, answer, claim->lease) : code == SQLITE_DONE;
}

static bool do_change(
	struct store_link *link, const struct exchange_request *request, struct store_answer *answer, int *changed)
{
	struct exchange_reply *reply = answer->reply;
	if (!do_releases(link, request, answer, changed))
		return false;
	if (!incarnation_equal(&reply->server, &request->incarnation))
		return true;
	if (!do_deletes(link, request, answer, changed))
		return false;
	if (!incarnation_equal(&reply->believed, &request->incarnation) || reply->paused[0])
		return true;
	for (size_t i = 0; i < request->claim_count; i++)
		if (!do_claim(link, request, answer, &request->claims[i]))
			return false;
	*changed += (int)reply->grant_count;
	return true;
}

static bool do_ask(
	struct store_link *link, const struct exchange_request *request, struct store_answer *answer, int *changed)
{
	sqlite3_stmt *statement = link->statements[ASK];
	const struct exchange_ask *ask = request->ask;
	if (!ask)
		return true;
	bind_name(statement, 1, link, ask->lease);
	sqlite3_bind_int64(statement, 2, (int64_t)ask->term);
	if (uuid_is_none(&ask->target))
		sqlite3_bind_null(statement, 3);
	else
		bind_uuid(statement, 3, &ask->target);
	sqlite3_bind_int64(statement, 4, ask->cooldown_ms);
	int count = execute(link, answer, ASK);
	answer->reply->asked = count > 0;
	*changed += count;
	return count >= 0;
}

static bool do_pause(
	struct store_link *link, const struct exchange_request *request, struct store_answer *answer, int *changed)
{
	if (request->pause == EXCHANGE_PAUSE_LEAVE)
		return true;
	const char *node = request->pause == EXCHANGE_PAUSE_SET ? link->config->node : "";
	sqlite3_bind_text(link->statements[PAUSE], 1, node, -1, SQLITE_STATIC);
	int count = execute(link, answer, PAUSE);
	*changed += count;
	return count >= 0 && read_store(link, answer);
}

// One that names nobody who can be told is none.
static void take_ask(sqlite3_stmt *statement, struct exchange_row *row)
{
	column_uuid(statement, 8, &row->target);
	bool anybody = sqlite3_column_type(statement, 8) == SQLITE_NULL;
	row->asked = sqlite3_column_type(statement, 7) != SQLITE_NULL && (anybody || !uuid_is_none(&row->target));
	row->cooldown_ms = row->asked ? sqlite3_column_int64(statement, 9) : 0;
}

static void take_row(sqlite3_stmt *statement, struct exchange_row *row)
{
	row->exists = true;
	column_uuid(statement, 0, &row->holder);
	column_text(statement, 1, row->node, sizeof row->node);
	row->term = column_term(statement, 2);
	row->holder_alive = sqlite3_column_type(statement, 3) != SQLITE_NULL;
	row->holder_seq = row->holder_alive ? sqlite3_column_int64(statement, 3) : -1;
	row->holder_lease_ms = sqlite3_column_int64(statement, 4);
	row->holder_age_us = sqlite3_column_int64(statement, 5);
	row->since_ms = sqlite3_column_int64(statement, 6);
	take_ask(statement, row);
}

static bool do_rows(struct store_link *link, struct store_answer *answer)
{
	sqlite3_stmt *statement = link->statements[ROW];
	for (size_t i = 0; i < link->names->count; i++) {
		struct exchange_row *row = &answer->rows[i];
		row->lease = (uint32_t)i;
		bind_name(statement, 1, link, row->lease);
		int code = sqlite3_step(statement);
		if (code == SQLITE_ROW)
			take_row(statement, row);
		else if (code != SQLITE_DONE)
			fail(link, answer, code);
		sqlite3_reset(statement);
		if (code != SQLITE_ROW && code != SQLITE_DONE)
			return false;
	}
	answer->reply->row_count = link->names->count;
	return true;
}

static bool do_strays(struct store_link *link, struct store_answer *answer)
{
	sqlite3_stmt *statement = link->statements[STRAYS];
	struct exchange_reply *reply = answer->reply;
	sqlite3_bind_int64(statement, 1, EXCHANGE_STRAYS);
	int code;
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		struct exchange_stray *stray = &reply->strays[reply->stray_count++];
		column_uuid(statement, 0, &stray->session);
		stray->seq = sqlite3_column_int64(statement, 1);
		stray->lease_ms = sqlite3_column_int64(statement, 2);
	}
	if (code != SQLITE_DONE)
		fail(link, answer, code);
	sqlite3_reset(statement);
	return code == SQLITE_DONE;
}

static bool take_candidate(struct store_link *link, struct store_answer *answer)
{
	sqlite3_stmt *statement = link->statements[CANDIDATES];
	struct exchange_offerer offerer = {
		.seq = sqlite3_column_int64(statement, 2),
		.lease_ms = sqlite3_column_int64(statement, 3),
		.age_us = sqlite3_column_int64(statement, 4),
	};
	column_uuid(statement, 0, &offerer.session);
	column_text(statement, 1, offerer.node, sizeof offerer.node);
	const char *offers = (const char *)sqlite3_column_text(statement, 5);
	return offers && store_take_offers(answer, link->names, &offerer, offers);
}

static bool do_candidates(struct store_link *link, struct store_answer *answer)
{
	sqlite3_stmt *statement = link->statements[CANDIDATES];
	int code;
	while ((code = sqlite3_step(statement)) == SQLITE_ROW)
		if (!take_candidate(link, answer)) {
			code = SQLITE_NOMEM;
			break;
		}
	if (code != SQLITE_DONE)
		fail(link, answer, code);
	sqlite3_reset(statement);
	return code == SQLITE_DONE;
}

// Of a lease that this daemon does not know, nothing.
static void take_past(struct store_link *link, struct store_answer *answer, sqlite3_stmt *statement)
{
	const char *name = (const char *)sqlite3_column_text(statement, 0);
	struct exchange_reply *reply = answer->reply;
	struct exchange_past *past = &answer->past[reply->past_count];
	uint32_t lease = 0;
	while (lease < link->names->count && (!name || strcmp(link->names->name[lease], name) != 0))
		lease++;
	if (lease == link->names->count)
		return;
	past->lease = lease;
	past->term = column_term(statement, 1);
	column_text(statement, 2, past->node, sizeof past->node);
	past->from_ms = sqlite3_column_int64(statement, 3);
	past->to_ms = sqlite3_column_int64(statement, 4);
	column_text(statement, 5, past->reason, sizeof past->reason);
	reply->past_count++;
}

static bool do_history(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	bool every = request->history_lease == EXCHANGE_EVERY_LEASE;
	sqlite3_stmt *statement = link->statements[every ? HISTORY_OF_ALL : HISTORY_OF_ONE];
	int code = SQLITE_ROW;
	if (!every)
		bind_name(statement, 1, link, request->history_lease);
	while (answer->reply->past_count < request->history_count && (code = sqlite3_step(statement)) == SQLITE_ROW)
		take_past(link, answer, statement);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		fail(link, answer, code);
	sqlite3_reset(statement);
	return code == SQLITE_ROW || code == SQLITE_DONE;
}

static bool do_report(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	link->data_version = data_version(link);
	return (!request->report || do_rows(link, answer)) && (!request->strays || do_strays(link, answer)) &&
	       (!request->candidates || do_candidates(link, answer)) && do_history(link, request, answer);
}

static bool commit(struct store_link *link, struct store_answer *answer)
{
	if (execute(link, answer, COMMIT) >= 0)
		return true;
	// It may be in the file, or come back with the file's recovery (rule 12).
	if (answer->reply->outcome == EXCHANGE_UNAVAILABLE)
		answer->reply->outcome = EXCHANGE_UNKNOWN;
	return false;
}

static bool transaction(
	struct store_link *link, const struct exchange_request *request, struct store_answer *answer, int *changed)
{
	if (!link->db && !connect_file(link, answer))
		return false;
	return begin(link, request, answer) && read_store(link, answer) && do_session(link, request, answer) &&
	       do_adopt(link, request, answer) && do_missing(link, request, answer) &&
	       do_change(link, request, answer, changed) && do_ask(link, request, answer, changed) &&
	       do_pause(link, request, answer, changed) && do_report(link, request, answer) && commit(link, answer);
}

static void touch_hint_file(const struct store_link *link)
{
	// A hint that cannot be written is one that is not given.
	if (link->hint_file >= 0 && pwrite(link->hint_file, "!", 1, 0) < 0)
		return;
}

static void sqlite_exchange(struct store_link *link, const struct store_call *call, struct store_answer *answer)
{
	int changed = 0;
	link->deadline_at = call->deadline_at;
	link->abort_fd = call->abort_fd;
	if (link->db && !is_same_file(link))
		disconnect(link);
	if (transaction(link, call->request, answer, &changed)) {
		answer->reply->outcome = EXCHANGE_OK;
		answer->reply->connection = link->connections;
		if (changed > 0)
			touch_hint_file(link);
		return;
	}
	// A second error, of the roll-back, would tell nothing new.
	if (link->db && !sqlite3_get_autocommit(link->db))
		sqlite3_exec(link->db, "ROLLBACK", NULL, NULL, NULL);
	if (answer->reply->outcome != EXCHANGE_BUSY)
		disconnect(link);
}

// ---- hints ----

static int sqlite_hint_fd(struct store_link *link)
{
	return link->inotify;
}

static bool sqlite_take_hint(struct store_link *link, struct store_hint *hint)
{
	(void)hint;
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool any = false, lost = false;
	ssize_t size;
	while ((size = read(link->inotify, events, sizeof events)) > 0) {
		any = true;
		const struct inotify_event *event;
		for (char *next = events; next < events + size; next += sizeof *event + event->len) {
			event = (const struct inotify_event *)next;
			lost |= event->mask & (IN_IGNORED | IN_MOVE_SELF);
		}
	}
	struct stat status;
	lost |= fstat(link->hint_file, &status) == 0 && status.st_nlink == 0;
	if (lost && stat(link->config->path, &status) == 0)
		watch_hints(link, &status);
	else if (lost)
		close_fd(&link->inotify);

	link->deadline_at = clock_now_ns() + link->config->timeout_ns;
	return any && (!link->db || data_version(link) != link->data_version);
}

// ---- opening and closing ----

static int sqlite_check(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	if (config->path && config->path[0] == '/')
		return 0;
	store_text(ret_text, "driver sqlite needs path: the absolute path of its file");
	return -EINVAL;
}

static int sqlite_open(struct store_link **ret, const struct store_config *config, const struct store_names *names)
{
	struct store_link *link = calloc(1, sizeof *link);
	if (!link)
		return -ENOMEM;
	link->config = config;
	link->names = names;
	link->hint_file = -1;
	link->inotify = -1;
	link->abort_fd = -1;
	*ret = link;
	return 0;
}

static void sqlite_close(struct store_link *link)
{
	link->deadline_at = clock_now_ns() + link->config->timeout_ns;
	disconnect(link);
	free(link);
}

// ---- init ----

static int add_columns(sqlite3 *db)
{
	int code = SQLITE_OK;
	for (size_t i = 0; i < COUNT_OF(schema_columns) && code == SQLITE_OK; i++) {
		int64_t there = 0;
		char *look = sqlite3_mprintf("SELECT count(*) FROM pragma_table_info(%Q) WHERE name = %Q",
			schema_columns[i].table, schema_columns[i].name);
		char *add = sqlite3_mprintf(
			SQL_ADD_COLUMN, schema_columns[i].table, schema_columns[i].name, schema_columns[i].type);
		code = look && add ? query_number(db, look, &there) : SQLITE_NOMEM;
		if (code == SQLITE_OK && !there)
			code = sqlite3_exec(db, add, NULL, NULL, NULL);
		sqlite3_free(look);
		sqlite3_free(add);
	}
	return code;
}

// In a transaction: from whichever version there is to the newest.
static int upgrade(sqlite3 *db, const char *path, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	int64_t ours = 0, others = 0, version = 0;
	int code = query_number(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'tenure_store'", &ours);
	if (code == SQLITE_OK)
		code = query_number(db, "SELECT count(*) FROM sqlite_schema", &others);
	if (code == SQLITE_OK && ours)
		code = query_number(db, "SELECT schema_version FROM tenure_store", &version);
	if (code != SQLITE_OK)
		return code;
	if (!ours && others) {
		store_text(ret_text, "%s: holds another program's tables: name a file of its own", path);
		return SQLITE_MISMATCH;
	}
	if (version > SCHEMA_VERSION) {
		store_text(ret_text, "%s: schema version %lld is newer than %d: use the tenurectl that goes with it",
			path, (long long)version, SCHEMA_VERSION);
		return SQLITE_MISMATCH;
	}
	for (int64_t step = version < 0 ? 0 : version; step < SCHEMA_VERSION && code == SQLITE_OK; step++)
		code = sqlite3_exec(db, schema_steps[step], NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = add_columns(db);
	char *update = sqlite3_mprintf("UPDATE tenure_store SET schema_version = %d", SCHEMA_VERSION);
	if (code == SQLITE_OK)
		code = update ? sqlite3_exec(db, update, NULL, NULL, NULL) : SQLITE_NOMEM;
	sqlite3_free(update);
	return code;
}

static int init_file(sqlite3 *db, const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	int code = SQLITE_BUSY;
	int64_t give_up_at = clock_now_ns() + config->timeout_ns;
	sqlite3_busy_timeout(db, store_milliseconds_left(give_up_at));
	// Changing the journal does not wait for the lock by itself.
	while (code == SQLITE_BUSY && clock_now_ns() < give_up_at) {
		code = sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
		if (code == SQLITE_BUSY)
			sqlite3_sleep(BUSY_SLEEP_MS);
	}
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, "PRAGMA synchronous = FULL; BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = upgrade(db, config->path, ret_text);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	return code;
}

static int sqlite_init_schema(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	struct stat status;
	if (look_at_file(config->path, &status, ret_text) == -EINVAL)
		return -EINVAL;
	sqlite3 *db = NULL;
	ret_text[0] = '\0';
	int code = sqlite3_open_v2(config->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	if (code == SQLITE_OK)
		code = init_file(db, config, ret_text);
	if (code != SQLITE_OK && !ret_text[0])
		store_text(ret_text, "%s: %s: %s", config->path, db ? sqlite3_errmsg(db) : sqlite3_errstr(code),
			classify(code)->advice);
	sqlite3_close(db);
	return code == SQLITE_OK ? 0 : -EIO;
}

static int sqlite_print_schema(const struct store_config *config, FILE *out)
{
	(void)config;
	fputs("PRAGMA journal_mode = WAL;\nBEGIN IMMEDIATE;\n", out);
	for (size_t i = 0; i < SCHEMA_VERSION; i++)
		fputs(schema_steps[i], out);
	fputs("-- Says \"duplicate column name\" where it was done before.\n", out);
	for (size_t i = 0; i < COUNT_OF(schema_columns); i++)
		fprintf(out, SQL_ADD_COLUMN ";\n", schema_columns[i].table, schema_columns[i].name,
			schema_columns[i].type);
	fprintf(out, "UPDATE tenure_store SET schema_version = %d WHERE schema_version < %d;\nCOMMIT;\n",
		SCHEMA_VERSION, SCHEMA_VERSION);
	return ferror(out) ? -EIO : 0;
}

const struct store_driver store_sqlite = {
	.name = "sqlite",
	.version = TENURE_VERSION,
	.check = sqlite_check,
	.init_schema = sqlite_init_schema,
	.print_schema = sqlite_print_schema,
	.open = sqlite_open,
	.exchange = sqlite_exchange,
	.hint_fd = sqlite_hint_fd,
	.take_hint = sqlite_take_hint,
	.close = sqlite_close,
};
