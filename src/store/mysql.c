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
// socket down. A change is announced through the waiter, further down.
#include "driver.h"

#include "clock.h"
#include "mysql_sql.h"
#include "watch.h"

#include <errno.h>
#include <inttypes.h>
#include <mysql.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

// Which vendor's client library: Debian's is MariaDB's. Oracle's side is compiled by lint.
#if defined MARIADB_BASE_VERSION && !defined ORACLE_CLIENT
#define MARIADB_CLIENT
#endif

#define DATABASE_NAME_BYTES 64
#define PORT_MAX 65535
// Names in one statement: MariaDB makes a join of a list of 1,000.
#define CHUNK 500
#define MIN_MARIADB 100600
#define MIN_MYSQL 80001
// A password of fewer characters would be found in any text.
#define SECRET_BYTES 4
#define INIT_TIMEOUT_NS (10 * NS_PER_S)
#define OPTION_GROUP "tenure"

// What a statement of a packet is, and so what its answer means.
enum kind {
	WRITE, // its answer is of no interest
	LOOK_DATABASE,
	TRY,
	HEAD,
	SESSION,
	ADOPT,
	MISSING,
	BEGIN,
	LOCK_ME,
	LOCK_LEASES,
	LOCK_SESSIONS,
	LOOK_ALIVE,
	LOOK_NAMED,
	CHANGE,
	COMMIT,
	ROWS,
	STRAYS,
	WAITERS,
};

struct host {
	const char *name; // NULL: a socket, or what the option file says
	unsigned port;    // 0: the usual one
};

// What is asked of a lease in this exchange, and what it was when it was
// locked.
struct lease {
	const struct exchange_release *release;
	const struct exchange_claim *claim;
	bool locked;
	bool decided; // to be released, or claimed
	struct uuid session;
	uint64_t term;
	uint64_t generation;
};

// A session to be killed or swept.
struct doomed {
	struct uuid id;
	int64_t seq;
	bool kill;   // else a sweep
	bool locked; // with that seq
	bool alive;  // it has a row; meant for kills
	bool named;  // a lease names it; meant for sweeps
};

struct waiter;

struct store_link {
	const struct store_config *config;
	const struct store_names *names;
	char *host_text; // the names of the hosts
	struct host *hosts;
	size_t host_count;
	size_t next_host; // to be tried first
	char *schema;     // quoted, with its dot, or empty
	uint32_t *order;  // the leases by name
	size_t room;      // of these and the next arrays
	struct watch *watch;
	struct waiter *waiter;
	MYSQL *connection; // NULL: not connected
	bool mariadb;
	char database[4 * DATABASE_NAME_BYTES + 1]; // that holds the tables
	uint64_t connections;
	// The packet that is being made or answered.
	FILE *out;
	char *text;
	size_t text_size;
	enum kind *kinds;
	size_t count;
	// Of the exchange that runs.
	const struct store_call *call;
	struct lease *leases; // by number
	struct doomed *doomed;
	size_t doomed_count;
	uint64_t generation; // tenure_store's
	bool me;             // my session has a row, and it is locked
	size_t changed;      // how many rows CHANGE has to have changed
	size_t waiter_count; // found, in waiters
	unsigned long *waiters;
	size_t waiter_room;
	bool wrote;     // a statement that writes was answered
	bool changes;   // there is something to commit
	bool committed; // the change, perhaps
	bool in_transaction;
	bool failed; // the answer has its outcome
	bool broken; // the connection is to be dropped
	bool owed;   // answers that nobody waits for are still to be read
};

// ---- errors ----

struct error_class {
	unsigned code;
	enum exchange_outcome outcome;
	bool drop; // the connection
	const char *advice;
};

#define ADVICE_INIT "run tenurectl init"
#define ADVICE_GRANT \
	"grant SELECT, INSERT, UPDATE and DELETE on the tenure tables to the " \
	"daemon's user"
#define ADVICE_LOGIN \
	"check the user and the password in the configuration, and the server's " \
	"accounts"
#define ADVICE_PRIMARY "name the writable primary in host"
#define ADVICE_DATABASE \
	"create the database or name another one; tenurectl init creates that of " \
	"schema"
#define ADVICE_TLS "check tls, tls_ca and the server's certificate"

// By the numbers that both vendors give them (R7); the client library's own
// begin at 2000.
static const struct error_class error_classes[] = {
	{1205, EXCHANGE_BUSY, false, NULL},             // lock time-out
	{1213, EXCHANGE_BUSY, false, NULL},             // deadlock; on Galera, a conflict at certification
	{1020, EXCHANGE_BUSY, false, NULL},             // the row changed since it was read
	{1317, EXCHANGE_BUSY, false, NULL},             // interrupted
	{1969, EXCHANGE_BUSY, false, NULL},             // MariaDB's max_statement_time
	{3024, EXCHANGE_BUSY, false, NULL},             // MySQL's max_execution_time
	{3572, EXCHANGE_BUSY, false, NULL},             // a lock that NOWAIT did not get
	{1290, EXCHANGE_DENIED, true, ADVICE_PRIMARY},  // --read-only and the like
	{1792, EXCHANGE_DENIED, true, ADVICE_PRIMARY},  // read-only transaction
	{1836, EXCHANGE_DENIED, true, ADVICE_PRIMARY},  // read-only mode
	{1044, EXCHANGE_DENIED, true, ADVICE_GRANT},    // database
	{1142, EXCHANGE_DENIED, false, ADVICE_GRANT},   // table
	{1143, EXCHANGE_DENIED, false, ADVICE_GRANT},   // column
	{1045, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // user or password
	{1698, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // the same without a password
	{1130, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // from this host
	{1251, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // by this client's way of authentication
	{1862, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // expired password
	{4151, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // locked account
	{3118, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // the same, MySQL's
	{3159, EXCHANGE_DENIED, true, ADVICE_TLS},      // the server wants TLS
	{2026, EXCHANGE_DENIED, true, ADVICE_TLS},      // TLS failed
	{2059, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // no plugin for it
	{2061, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // a password that would go in the clear
	{1049, EXCHANGE_DENIED, true, ADVICE_DATABASE}, // no such database
	{1046, EXCHANGE_DENIED, true, "set database"},  // none selected
	{1146, EXCHANGE_DENIED, false, ADVICE_INIT},    // no such table
	{1054, EXCHANGE_DENIED, false, ADVICE_INIT},    // no such column
	{1114, EXCHANGE_DENIED, false, "make room on the server's disk"},
	{1021, EXCHANGE_DENIED, false, "make room on the server's disk"},
	{1665, EXCHANGE_DENIED, true, "set binlog_format to ROW or MIXED"},
	{1064, EXCHANGE_DENIED, true, "MariaDB 10.6 or MySQL 8.0.1 is needed"},
	{1040, EXCHANGE_UNAVAILABLE, true, "raise max_connections or lower the number of clients"},
	{1203, EXCHANGE_UNAVAILABLE, true, "raise max_user_connections or lower the number of clients"},
	{1226, EXCHANGE_UNAVAILABLE, true, "raise the account's limits"},
	{1047, EXCHANGE_UNAVAILABLE, true, NULL}, // a Galera node without its cluster
	{1053, EXCHANGE_UNAVAILABLE, true, NULL}, // shutting down
	{1927, EXCHANGE_UNAVAILABLE, true, NULL}, // killed
	{4031, EXCHANGE_UNAVAILABLE, true, NULL}, // idle for too long
	{2002, EXCHANGE_UNAVAILABLE, true, NULL}, // no such socket
	{2003, EXCHANGE_UNAVAILABLE, true, NULL}, // refused
	{2005, EXCHANGE_UNAVAILABLE, true, NULL}, // unknown host
};

#define CLIENT_ERRORS 2000
#define CLIENT_ERRORS_END 3000
#define DEADLOCK 1213
#define INTERRUPTED 1317
#define READ_ONLY 1290

static const struct error_class *classify(unsigned code)
{
	static const struct error_class other = {
		0, EXCHANGE_DENIED, true, "this was not expected: look at the server's log"};
	static const struct error_class lost = {0, EXCHANGE_UNKNOWN, true, NULL};
	for (size_t i = 0; i < COUNT_OF(error_classes); i++)
		if (error_classes[i].code == code)
			return &error_classes[i];
	return code >= CLIENT_ERRORS && code < CLIENT_ERRORS_END ? &lost : &other;
}

static bool is_given(const char *text)
{
	return text && text[0];
}

static void hide(char *text, const char *secret)
{
	if (!secret || strlen(secret) < SECRET_BYTES)
		return;
	for (char *found = strstr(text, secret); found; found = strstr(found, secret))
		memset(found, '*', strlen(secret));
}

// The first failure of an exchange is the one that is told. False, for `return
// fail(…)`.
static bool fail(
	struct store_link *link, struct store_answer *answer, const struct error_class *class, const char *message)
{
	link->broken |= class->drop;
	if (link->failed)
		return false;
	link->failed = true;
	// What was answered before may have been a write.
	bool unsure = link->committed || (class->outcome == EXCHANGE_UNAVAILABLE && link->wrote);
	const char *host = link->host_count > 1 ? link->hosts[link->next_host].name : NULL;
	char *text = NULL;
	if (asprintf(&text, "MySQL: %s%s%s%s%s", host ? host : "", host ? ": " : "", message, class->advice ? ": " : "",
		    class->advice ? class->advice : "") < 0)
		text = NULL;
	if (text)
		hide(text, link->config->password);
	store_answer_fail(answer, unsure ? EXCHANGE_UNKNOWN : class->outcome, "%s", text ? text : "MySQL: no memory");
	free(text);
	return false;
}

static bool fail_by_connection(struct store_link *link, struct store_answer *answer, enum kind kind)
{
	unsigned code = mysql_errno(link->connection);
	const struct error_class *class = classify(code);
	// Only a transaction that the server itself gave up is known not to have been
	// committed.
	if (kind == COMMIT && code != DEADLOCK)
		link->committed = true;
	bool lost = class->outcome == EXCHANGE_UNKNOWN;
	return fail(link, answer, class,
		lost && watch_socket(link->watch, -1) ? "no answer within the timeout" : mysql_error(link->connection));
}

// ---- making a packet ----

static void put(struct store_link *link, const char *sql)
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

static void put_number(struct store_link *link, int64_t number)
{
	fprintf(link->out, "%" PRId64, number);
}

static void put_uuid(struct store_link *link, const struct uuid *id)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(id, text);
	fprintf(link->out, "'%s'", text);
}

// Names have no characters that would have to be escaped.
static void put_name(struct store_link *link, const char *name)
{
	fprintf(link->out, "'%s'", name);
}

// Any text, whatever the server takes for an escape.
static void put_text(struct store_link *link, const char *text)
{
	fputs("X'", link->out);
	for (; *text; text++)
		fprintf(link->out, "%02x", (unsigned)(unsigned char)*text);
	fputs("'", link->out);
}

static bool packet_new(struct store_link *link, struct store_answer *answer)
{
	static const struct error_class no_memory = {0, EXCHANGE_UNAVAILABLE, false, NULL};
	link->count = 0;
	link->out = open_memstream(&link->text, &link->text_size);
	return link->out || fail(link, answer, &no_memory, "no memory");
}

static void begin(struct store_link *link, enum kind kind)
{
	if (link->count)
		fputs(";\n", link->out);
	link->kinds[link->count++] = kind;
}

static void put_statement(struct store_link *link, enum kind kind, const char *sql)
{
	begin(link, kind);
	put(link, sql);
}

// A list over the leases, in as many statements as it takes.
struct listing {
	enum kind kind;
	void (*start)(struct store_link *link);
	bool (*has)(const struct store_link *link, uint32_t lease);
	void (*item)(struct store_link *link, uint32_t lease);
	const char *separator;
	const char *end;
};

static void put_listing(struct store_link *link, const struct listing *listing)
{
	size_t items = 0;
	for (uint32_t lease = 0; lease < link->names->count; lease++) {
		if (!listing->has(link, lease))
			continue;
		if (items % CHUNK == 0) {
			if (items)
				put(link, listing->end);
			begin(link, listing->kind);
			listing->start(link);
		} else {
			put(link, listing->separator);
		}
		listing->item(link, lease);
		items++;
	}
	if (items)
		put(link, listing->end);
}

static void item_name(struct store_link *link, uint32_t lease)
{
	put_name(link, link->names->name[lease]);
}

// ---- the exchange's statements ----

static void put_session(struct store_link *link, const struct exchange_request *request)
{
	switch (request->session_op) {
	case EXCHANGE_SESSION_CREATE:
		put_statement(link, SESSION,
			"INSERT IGNORE INTO ~tenure_session (id, node, seq, "
			"lease_ms, started_at, renewed_at) VALUES (");
		put_uuid(link, &request->session);
		put(link, ", ");
		put_name(link, link->config->node);
		put(link, ", 1, ");
		put_number(link, request->lease_ms);
		put(link, ", UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))");
		return;
	case EXCHANGE_SESSION_RENEW:
		put_statement(link, SESSION, sql_renew);
		put_uuid(link, &request->session);
		return;
	case EXCHANGE_SESSION_DELETE:
		put_statement(link, SESSION, "DELETE FROM ~tenure_session WHERE id = ");
		put_uuid(link, &request->session);
		return;
	case EXCHANGE_SESSION_NONE:
	default:
		return;
	}
}

// Generations are told in microseconds: nothing can change hands as often as that, and so no term that a replica lost
// is as large (rule 5).
static void put_adopt(struct store_link *link, const struct exchange_request *request)
{
	if (!request->adopt)
		return;
	put_statement(link, ADOPT,
		"UPDATE ~tenure_store SET generation = GREATEST(generation + "
		"1, UNIX_TIMESTAMP() * 1000000 + MICROSECOND(NOW(6))), incarnation = ");
	put_text(link, request->incarnation.text);
	put(link, " WHERE id = 1 AND incarnation <> ");
	put_text(link, request->incarnation.text);
	put(link, " AND (SELECT server.incarnation FROM (" LIFE ") server) = ");
	put_text(link, request->incarnation.text);
}

static void start_missing(struct store_link *link)
{
	put(link, "INSERT IGNORE INTO ~tenure_lease (component, node, term, "
		  "generation) VALUES ");
}

static bool is_missing(const struct store_link *link, uint32_t lease)
{
	return link->leases[lease].claim && link->leases[lease].claim->missing;
}

static void item_missing(struct store_link *link, uint32_t lease)
{
	put(link, "(");
	item_name(link, lease);
	put(link, ", '', 0, 0)");
}

static void start_lock(struct store_link *link)
{
	put(link, sql_lock_leases);
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
	put(link, "(component = ");
	item_name(link, lease);
	if (!release)
		put(link, " AND (session IS NULL");
	if (release || !uuid_is_none(&claim->holder)) {
		put(link, release ? " AND session = " : " OR session = ");
		put_uuid(link, release ? &link->call->request->session : &claim->holder);
		put(link, " AND term = ");
		put_number(link, (int64_t)(release ? release->term : claim->term));
	}
	put(link, release ? ")" : "))");
}

static void start_release(struct store_link *link)
{
	put(link, "UPDATE ~tenure_lease SET session = NULL, changed_at = "
		  "UTC_TIMESTAMP(6) WHERE component IN (");
}

static bool is_to_be_released(const struct store_link *link, uint32_t lease)
{
	return link->leases[lease].decided && link->leases[lease].release;
}

// The assignments are made from left to right. The term is the one that is
// granted: see new_term().
static void start_claim(struct store_link *link)
{
	put(link, "UPDATE ~tenure_lease SET term = CASE WHEN generation = ");
	put_number(link, (int64_t)link->generation);
	put(link, " THEN term + 1 ELSE GREATEST(term + 1, ");
	put_number(link, (int64_t)link->generation);
	put(link, ") END, generation = ");
	put_number(link, (int64_t)link->generation);
	put(link, ", session = ");
	put_uuid(link, &link->call->request->session);
	put(link, ", node = ");
	put_name(link, link->config->node);
	put(link, ", acquired_at = UTC_TIMESTAMP(6), changed_at = UTC_TIMESTAMP(6) "
		  "WHERE component IN (");
}

static bool is_to_be_claimed(const struct store_link *link, uint32_t lease)
{
	return link->leases[lease].decided && link->leases[lease].claim;
}

static void start_rows(struct store_link *link)
{
	put(link, sql_rows);
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
static const struct listing list_releases = {CHANGE, start_release, is_to_be_released, item_name, ", ", ")"};
static const struct listing list_claims = {CHANGE, start_claim, is_to_be_claimed, item_name, ", ", ")"};
static const struct listing list_rows = {ROWS, start_rows, is_any, item_name, ", ", ")"};

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
			put_statement(link, kind, start);
		else
			put(link, seq ? " OR " : ", ");
		any = true;
		put(link, seq ? "id = " : "");
		put_uuid(link, &doomed->id);
		if (seq) {
			put(link, " AND seq = ");
			put_number(link, doomed->seq);
		}
	}
	if (any)
		put(link, end);
	return any;
}

// Locks what there is to decide on. My own session's row keeps it from being
// swept or killed meanwhile.
static void put_locks(struct store_link *link, const struct exchange_request *request)
{
	put_statement(link, WRITE, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED");
	put_statement(link, BEGIN, "START TRANSACTION");
	if (request->claim_count) {
		put_statement(link, LOCK_ME, "SELECT id FROM ~tenure_session WHERE id = ");
		put_uuid(link, &request->session);
		put(link, " FOR UPDATE SKIP LOCKED");
	}
	put_listing(link, &list_locks);
	put_doomed(link, LOCK_SESSIONS, "SELECT id, seq FROM ~tenure_session FORCE INDEX (PRIMARY) WHERE ", true, true,
		true, " FOR UPDATE SKIP LOCKED");
	// These two do not lock. A session that is gone never comes back, and one
	// that is locked here gets no lease.
	put_doomed(link, LOOK_ALIVE, "SELECT id FROM ~tenure_session WHERE id IN (", true, false, false, ")");
	put_doomed(link, LOOK_NAMED, "SELECT DISTINCT session FROM ~tenure_lease WHERE session IN (", false, true,
		false, ")");
}

static void put_report(struct store_link *link, const struct exchange_request *request)
{
	if (request->report)
		put_listing(link, &list_rows);
	if (request->strays) {
		put_statement(link, STRAYS, sql_strays);
		put_number(link, EXCHANGE_STRAYS);
	}
	put_statement(link, HEAD, sql_head);
}

// ---- the waiter ----

// The databases have no NOTIFY. In its place, each daemon has a second
// connection with a thread, the waiter, on which runs nothing but a statement
// that waits, and says in its text for which database. Who changed a lease
// looks such texts up in the list of statements, which without privileges shows
// those of the same user, and interrupts what it finds with KILL QUERY. It
// waits for a lock that the daemon's own first connection holds: the name means
// nothing, and nobody else wants it. (A SLEEP does not do: MariaDB has one
// mutex for all of them, and a KILL QUERY that meets another's end stalls for
// seconds.)
//
// It is a hint, as LISTEN is (rule 13): where it does not work, because the
// daemons have different users, sit on different nodes or behind a pooler, a
// change is seen by the next poll. It costs the server a connection a daemon,
// two statements a minute, and a look at the list of statements for each change
// of a lease. A number that was used again since it was looked up could only be
// that of another connection of the same user, and costs it one statement.
#define WAIT_S 30
// How much longer the answer may take.
#define WAIT_MORE_S 10
#define WAIT_LOCK "tenured/%lu"
#define WAIT_START "SELECT GET_LOCK("
#define WAIT_TEXT_SIZE 320
// The server allows 256 characters for the name of a column.
#define WAIT_MARK_SIZE 240
// Before it is tried again.
#define WAIT_RETRY_MS 5000
// A wait that ended by itself sooner would turn into a busy loop.
#define WAIT_LEAST_NS NS_PER_S

struct waiter {
	pthread_t thread;
	const struct store_link *link; // its configuration
	int wake_fd;                   // to the thread: look at the rest
	int hint_fd;                   // to the store: something was announced
	pthread_mutex_t lock;
	// Under the lock:
	const struct host *host;   // NULL: not known yet
	char mark[WAIT_MARK_SIZE]; // what the statement ends with
	char text[WAIT_TEXT_SIZE]; // the statement
	int fd;                    // -1: none
	unsigned long id;          // of the connection
	bool closing;
};

static MYSQL *connect_host(const struct store_link *link, const struct host *host, int64_t timeout_ns);
static int socket_of(MYSQL *connection);

static void raise_event(int fd)
{
	// It fails only where the counter is full, and then it is readable as well.
	(void)eventfd_write(fd, 1);
}

// Makes the socket known to who may shut it down; false where it is not wanted
// any more.
static bool waiter_attach(struct waiter *waiter, MYSQL *connection, const struct host *host)
{
	pthread_mutex_lock(&waiter->lock);
	bool wanted = !waiter->closing && waiter->host == host;
	if (wanted) {
		waiter->fd = socket_of(connection);
		waiter->id = mysql_thread_id(connection);
	}
	pthread_mutex_unlock(&waiter->lock);
	return wanted;
}

static void waiter_detach(struct waiter *waiter)
{
	pthread_mutex_lock(&waiter->lock);
	waiter->fd = -1;
	waiter->id = 0;
	pthread_mutex_unlock(&waiter->lock);
}

static bool wait_send(MYSQL *connection, const char *text)
{
	return mysql_send_query(connection, text, strlen(text)) == 0;
}

// Whether it was interrupted, which is an error or NULL; and whether there is a
// connection still.
static bool wait_receive(MYSQL *connection, bool *ret_connected)
{
	bool failed = mysql_read_query_result(connection) != 0;
	MYSQL_RES *result = failed ? NULL : mysql_store_result(connection);
	MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
	bool interrupted = failed ? mysql_errno(connection) == INTERRUPTED : row && !row[0];
	mysql_free_result(result);
	*ret_connected = !failed || interrupted;
	return interrupted;
}

// Until the connection ends, which is worth a look as well. It waits again
// before it tells, or what is announced while the leases are being looked at
// would be missed.
static void wait_loop(struct waiter *waiter, MYSQL *connection, const char *text)
{
	bool goes_on = wait_send(connection, text);
	while (goes_on) {
		int64_t begun_at = clock_now_ns();
		bool interrupted = wait_receive(connection, &goes_on);
		goes_on = goes_on && (interrupted || clock_now_ns() - begun_at >= WAIT_LEAST_NS) &&
			  wait_send(connection, text);
		if (interrupted || !goes_on)
			raise_event(waiter->hint_fd);
	}
}

static void wait_on(struct waiter *waiter, const struct host *host, const char *text)
{
	MYSQL *connection = connect_host(waiter->link, host, (WAIT_S + WAIT_MORE_S) * NS_PER_S);
	if (!connection)
		return;
	if (mysql_errno(connection) == 0 && waiter_attach(waiter, connection, host))
		wait_loop(waiter, connection, text);
	waiter_detach(waiter);
	mysql_close(connection);
}

static void *waiter_run(void *argument)
{
	struct waiter *waiter = argument;
	mysql_thread_init();
	pthread_mutex_lock(&waiter->lock);
	while (!waiter->closing) {
		const struct host *host = waiter->host;
		char text[WAIT_TEXT_SIZE];
		memcpy(text, waiter->text, sizeof text);
		pthread_mutex_unlock(&waiter->lock);
		if (host)
			wait_on(waiter, host, text);
		struct pollfd wake = {.fd = waiter->wake_fd, .events = POLLIN};
		eventfd_t count;
		if (poll(&wake, 1, host ? WAIT_RETRY_MS : -1) > 0)
			(void)eventfd_read(waiter->wake_fd, &count);
		pthread_mutex_lock(&waiter->lock);
	}
	pthread_mutex_unlock(&waiter->lock);
	mysql_thread_end();
	return NULL;
}

// Under the lock.
static void waiter_interrupt(const struct waiter *waiter)
{
	if (waiter->fd >= 0)
		shutdown(waiter->fd, SHUT_RDWR);
	raise_event(waiter->wake_fd);
}

// It waits at the server that the exchanges go to, for changes of the database
// of that name, while the connection of that number lives.
static void waiter_follow(
	struct waiter *waiter, const struct host *host, unsigned long connection, const char *database)
{
	char text[WAIT_TEXT_SIZE], mark[WAIT_MARK_SIZE] = "AS 'a tenured waits for a change of ";
	size_t used = strlen(mark);
	// In hexadecimal, since a name can contain whatever ends a text; as much of
	// it as there is room for.
	for (; *database && used + 4 < sizeof mark; database++)
		used += (size_t)snprintf(mark + used, 3, "%02x", (unsigned)(unsigned char)*database);
	snprintf(mark + used, sizeof mark - used, "'");
	snprintf(text, sizeof text, WAIT_START "'" WAIT_LOCK "', %d) %s", connection, WAIT_S, mark);
	pthread_mutex_lock(&waiter->lock);
	if (waiter->host != host || strcmp(waiter->text, text) != 0 || waiter->fd < 0) {
		waiter->host = host;
		memcpy(waiter->mark, mark, sizeof mark);
		memcpy(waiter->text, text, sizeof text);
		waiter_interrupt(waiter);
	}
	pthread_mutex_unlock(&waiter->lock);
}

static int waiter_new(struct waiter **ret, const struct store_link *link)
{
	struct waiter *waiter = calloc(1, sizeof *waiter);
	if (!waiter)
		return -ENOMEM;
	waiter->link = link;
	waiter->fd = -1;
	pthread_mutex_init(&waiter->lock, NULL);
	waiter->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	waiter->hint_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int error = waiter->wake_fd < 0 || waiter->hint_fd < 0 ? -errno : 0;
	if (error == 0)
		error = store_start_thread(&waiter->thread, waiter_run, waiter);
	if (error == 0) {
		*ret = waiter;
		return 0;
	}
	if (waiter->wake_fd >= 0)
		close(waiter->wake_fd);
	if (waiter->hint_fd >= 0)
		close(waiter->hint_fd);
	pthread_mutex_destroy(&waiter->lock);
	free(waiter);
	return error;
}

static void waiter_free(struct waiter *waiter)
{
	if (!waiter)
		return;
	pthread_mutex_lock(&waiter->lock);
	waiter->closing = true;
	waiter_interrupt(waiter);
	pthread_mutex_unlock(&waiter->lock);
	pthread_join(waiter->thread, NULL);
	pthread_mutex_destroy(&waiter->lock);
	close(waiter->wake_fd);
	close(waiter->hint_fd);
	free(waiter);
}

static bool is_galera(const struct exchange_reply *reply)
{
	return strncmp(reply->server.text, GALERA, strlen(GALERA)) == 0;
}

// Whether what others announce is not heard: nobody waits, or they may sit at other nodes.
static bool is_deaf(const struct store_link *link, const struct exchange_reply *reply)
{
	pthread_mutex_lock(&link->waiter->lock);
	bool waits = link->waiter->fd >= 0;
	pthread_mutex_unlock(&link->waiter->lock);
	return !waits || is_galera(reply);
}

// Who else waits, to be interrupted by announce(). The last statement, since it
// is for others.
static void put_waiters(struct store_link *link)
{
	pthread_mutex_lock(&link->waiter->lock);
	put_statement(link, WAITERS,
		"SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE "
		"'" WAIT_START "%' AND RIGHT(INFO, ");
	put_number(link, (int64_t)strlen(link->waiter->mark));
	put(link, ") = ");
	put_text(link, link->waiter->mark);
	put(link, " AND ID <> ");
	put_number(link, (int64_t)link->waiter->id);
	pthread_mutex_unlock(&link->waiter->lock);
}

// Sends and does not wait: nobody's exchange depends on it. One that went away
// meanwhile ends the packet.
static void announce(struct store_link *link, struct store_answer *answer)
{
	if (link->waiter_count == 0 || !packet_new(link, answer))
		return;
	for (size_t i = 0; i < link->waiter_count; i++)
		fprintf(link->out, "%sKILL QUERY %lu", i ? ";" : "", link->waiters[i]);
	if (fclose(link->out) == 0 && mysql_send_query(link->connection, link->text, link->text_size) == 0)
		link->owed = true;
	else
		link->broken = true;
	free(link->text);
}

// ---- answers ----

static int64_t number_in(const char *text)
{
	return text ? strtoll(text, NULL, 10) : 0;
}

static struct uuid uuid_in(const char *text)
{
	struct uuid id;
	return !text || uuid_parse(text, &id) < 0 ? (struct uuid){0} : id;
}

static void incarnation_in(const char *text, struct incarnation *ret)
{
	snprintf(ret->text, sizeof ret->text, "%s", text ? text : "");
}

// The number of a lease; false where we do not follow it.
static bool find_lease(const struct store_link *link, const char *name, uint32_t *ret)
{
	size_t low = 0, high = link->names->count;
	while (name && low < high) {
		size_t middle = low + (high - low) / 2;
		int compared = strcmp(name, link->names->name[link->order[middle]]);
		if (compared == 0) {
			*ret = link->order[middle];
			return true;
		}
		if (compared < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

// False where this server is not to be used.
static bool take_head(struct store_link *link, struct store_answer *answer, MYSQL_ROW row)
{
	enum { SERVER, UNREADY, WRITABLE, VERSION, BELIEVED, GENERATION };
	static const struct error_class unready = {0, EXCHANGE_UNAVAILABLE, true, NULL};
	static const struct error_class other_server = {0, EXCHANGE_UNKNOWN, true, NULL};
	static const struct error_class bad_version = {0, EXCHANGE_DENIED, true, NULL};
	struct exchange_reply *reply = answer->reply;
	struct incarnation server;
	char message[EXCHANGE_TEXT_SIZE];
	incarnation_in(row[SERVER], &server);
	if (number_in(row[UNREADY]))
		return fail(link, answer, &unready, "the Galera node is not part of its cluster's primary component");
	if (!number_in(row[WRITABLE]))
		return fail(link, answer, classify(READ_ONLY), "the server is read-only");
	if (reply->server.text[0] && !incarnation_equal(&reply->server, &server))
		return fail(link, answer, &other_server, "the server changed during an exchange");
	reply->server = server;
	incarnation_in(row[BELIEVED], &reply->believed);
	link->generation = (uint64_t)number_in(row[GENERATION]);
	int64_t version = number_in(row[VERSION]);
	if (version == SCHEMA_VERSION)
		return true;
	snprintf(message, sizeof message, "schema version %" PRId64 " found, %d needed: run %s", version,
		SCHEMA_VERSION, version < SCHEMA_VERSION ? "tenurectl init" : "the tenured that goes with it");
	return fail(link, answer, &bad_version, message);
}

static void take_lease(struct store_link *link, MYSQL_ROW row)
{
	enum { COMPONENT, HOLDER, TERM, GENERATION };
	uint32_t number;
	if (!find_lease(link, row[COMPONENT], &number))
		return;
	struct lease *lease = &link->leases[number];
	lease->locked = true;
	lease->session = uuid_in(row[HOLDER]);
	lease->term = (uint64_t)number_in(row[TERM]);
	lease->generation = (uint64_t)number_in(row[GENERATION]);
}

static void take_doomed(struct store_link *link, enum kind kind, MYSQL_ROW row)
{
	struct uuid id = uuid_in(row[0]);
	for (size_t i = 0; i < link->doomed_count; i++) {
		struct doomed *doomed = &link->doomed[i];
		if (!uuid_equal(&doomed->id, &id))
			continue;
		if (kind == LOCK_SESSIONS)
			doomed->locked |= doomed->seq == number_in(row[1]);
		else if (kind == LOOK_ALIVE)
			doomed->alive = true;
		else
			doomed->named = true;
	}
}

static void take_row(struct store_link *link, struct store_answer *answer, MYSQL_ROW columns)
{
	enum { COMPONENT, HOLDER, NODE, TERM, SEQ, LEASE_MS, AGE, SINCE };
	uint32_t number;
	if (!find_lease(link, columns[COMPONENT], &number))
		return;
	struct exchange_row *row = &answer->rows[number];
	row->exists = true;
	row->holder = uuid_in(columns[HOLDER]);
	snprintf(row->node, sizeof row->node, "%s", columns[NODE]);
	row->term = (uint64_t)number_in(columns[TERM]);
	row->holder_alive = columns[SEQ] != NULL;
	row->holder_seq = row->holder_alive ? number_in(columns[SEQ]) : -1;
	row->holder_lease_ms = number_in(columns[LEASE_MS]);
	row->holder_age_us = number_in(columns[AGE]);
	row->since_ms = number_in(columns[SINCE]);
}

static void take_stray(struct store_answer *answer, MYSQL_ROW row)
{
	enum { ID, SEQ, LEASE_MS };
	struct exchange_reply *reply = answer->reply;
	if (reply->stray_count < EXCHANGE_STRAYS)
		reply->strays[reply->stray_count++] = (struct exchange_stray){
			.session = uuid_in(row[ID]),
			.seq = number_in(row[SEQ]),
			.lease_ms = number_in(row[LEASE_MS]),
		};
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
	link->waiters[link->waiter_count++] = (unsigned long)number_in(row[0]);
}

static bool take_result_row(struct store_link *link, struct store_answer *answer, enum kind kind, MYSQL_ROW row)
{
	switch (kind) {
	case LOOK_DATABASE:
		snprintf(link->database, sizeof link->database, "%s", row[0] ? row[0] : "");
		return true;
	case HEAD:
		return take_head(link, answer, row);
	case LOCK_ME:
		link->me = true;
		return true;
	case LOCK_LEASES:
		take_lease(link, row);
		return true;
	case LOCK_SESSIONS:
	case LOOK_ALIVE:
	case LOOK_NAMED:
		take_doomed(link, kind, row);
		return true;
	case ROWS:
		take_row(link, answer, row);
		return true;
	case STRAYS:
		take_stray(answer, row);
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
	case COMMIT:
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
	else if (kind == COMMIT)
		// On Galera, what ended an empty transaction may be told to the statement after it.
		link->committed = link->changes;
	if (kind == COMMIT)
		link->in_transaction = false;
}

static bool take_answer(struct store_link *link, struct store_answer *answer, enum kind kind)
{
	MYSQL_RES *result = mysql_store_result(link->connection);
	bool good = true;
	if (!result && mysql_errno(link->connection) != 0)
		return fail_by_connection(link, answer, kind);
	if (!result) {
		take_done(link, answer, kind);
		return true;
	}
	for (MYSQL_ROW row = mysql_fetch_row(result); row && good; row = mysql_fetch_row(result))
		good = take_result_row(link, answer, kind, row);
	mysql_free_result(result);
	return good;
}

static bool answers(struct store_link *link, struct store_answer *answer)
{
	static const struct error_class confused = {0, EXCHANGE_UNKNOWN, true, NULL};
	for (size_t i = 0; i < link->count; i++) {
		if (!take_answer(link, answer, link->kinds[i]))
			return false;
		int more = mysql_next_result(link->connection);
		if (more > 0)
			return fail_by_connection(link, answer, i + 1 < link->count ? link->kinds[i + 1] : WRITE);
		if ((more == 0) != (i + 1 < link->count))
			return fail(link, answer, &confused, "another number of answers than of statements");
	}
	return true;
}

// Sends the packet that was made, and takes what is answered.
static bool round_trip(struct store_link *link, struct store_answer *answer)
{
	static const struct error_class no_memory = {0, EXCHANGE_UNAVAILABLE, true, NULL};
	bool failed = ferror(link->out);
	if (fclose(link->out) != 0 || failed) {
		free(link->text);
		return fail(link, answer, &no_memory, "no memory");
	}
	failed = mysql_real_query(link->connection, link->text, link->text_size) != 0;
	free(link->text);
	if (failed)
		return fail_by_connection(link, answer, link->kinds[0]);
	return answers(link, answer);
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

// Rule 5; what start_claim() writes.
static uint64_t new_term(const struct store_link *link, const struct lease *lease)
{
	uint64_t next = lease->term + 1;
	return lease->generation == link->generation || next > link->generation ? next : link->generation;
}

// Upon what was locked. What is not to be done for the incarnation's sake is
// not.
static void decide(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	struct exchange_reply *reply = answer->reply;
	bool sure = incarnation_equal(&reply->server, &request->incarnation);
	bool claims = link->me && sure && incarnation_equal(&reply->believed, &request->incarnation);
	if (!sure)
		link->doomed_count = 0;
	link->changed = 0;
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
static bool put_decision(struct store_link *link)
{
	bool announced = link->changed > 0;
	for (size_t i = 0; i < link->doomed_count; i++) {
		if (!is_to_die(&link->doomed[i]))
			continue;
		put_statement(link, WRITE, "DELETE FROM ~tenure_session WHERE id = ");
		put_uuid(link, &link->doomed[i].id);
		announced |= link->doomed[i].kill;
	}
	put_listing(link, &list_releases);
	put_listing(link, &list_claims);
	return announced;
}

// ---- connecting ----

static int socket_of(MYSQL *connection)
{
#ifdef MARIADB_CLIENT
	return mysql_get_socket(connection);
#else
	return connection->net.fd;
#endif
}

// Verified unless it is off: both vendors' libraries would be content with
// less.
static void set_tls(MYSQL *connection, const struct store_config *config)
{
	bool verify = !is_given(config->tls) || strcmp(config->tls, "off") != 0;
	bool local = is_given(config->socket);
	if (is_given(config->tls_ca))
		mysql_options(connection, MYSQL_OPT_SSL_CA, config->tls_ca);
#ifdef MARIADB_CLIENT
	my_bool on = (my_bool)(verify && !local);
	mysql_options(connection, MYSQL_OPT_SSL_ENFORCE, &on);
	mysql_options(connection, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &on);
#else
	unsigned mode = verify && !local ? SSL_MODE_VERIFY_IDENTITY : SSL_MODE_DISABLED;
	mysql_options(connection, MYSQL_OPT_SSL_MODE, &mode);
#endif
}

// The library's own time-outs are in whole seconds: a second line, behind the
// watch.
static void set_options(MYSQL *connection, const struct store_link *link, int64_t timeout_ns)
{
	const struct store_config *config = link->config;
	unsigned seconds = (unsigned)((timeout_ns + NS_PER_S - 1) / NS_PER_S);
	int64_t share_ns = config->timeout_ns / (int64_t)link->host_count;
	unsigned connect_seconds = (unsigned)((share_ns + NS_PER_S - 1) / NS_PER_S);
	unsigned protocol = is_given(config->socket) ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
	unsigned no = 0;
	mysql_options(connection, MYSQL_OPT_CONNECT_TIMEOUT, &connect_seconds);
	mysql_options(connection, MYSQL_OPT_READ_TIMEOUT, &seconds);
	mysql_options(connection, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
	mysql_options(connection, MYSQL_OPT_LOCAL_INFILE, &no);
	mysql_options(connection, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	mysql_options4(connection, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "tenured");
	if (is_given(config->socket) || is_given(config->host))
		mysql_options(connection, MYSQL_OPT_PROTOCOL, &protocol);
	set_tls(connection, config);
	if (is_given(config->defaults_file)) {
		mysql_options(connection, MYSQL_READ_DEFAULT_FILE, config->defaults_file);
		mysql_options(connection, MYSQL_READ_DEFAULT_GROUP, OPTION_GROUP);
	}
}

// NULL where there is no memory. Where it failed, mysql_errno() says so.
static MYSQL *connect_host(const struct store_link *link, const struct host *host, int64_t timeout_ns)
{
	const struct store_config *config = link->config;
	const unsigned long flags = CLIENT_FOUND_ROWS | CLIENT_MULTI_STATEMENTS;
	MYSQL *connection = mysql_init(NULL);
	if (!connection)
		return NULL;
	set_options(connection, link, timeout_ns);
	// What an error leaves behind is the caller's to look at and to close.
	mysql_real_connect(connection, host->name, config->user, config->password, config->database, host->port,
		config->socket, flags);
	return connection;
}

static void disconnect(struct store_link *link)
{
	if (!link->connection)
		return;
	watch_socket(link->watch, -1);
	mysql_close(link->connection);
	link->connection = NULL;
	link->owed = false;
	link->in_transaction = false;
}

static bool check_server(struct store_link *link, struct store_answer *answer)
{
	static const struct error_class too_old = {0, EXCHANGE_DENIED, true, NULL};
	unsigned long version = mysql_get_server_version(link->connection);
	link->mariadb = strstr(mysql_get_server_info(link->connection), "MariaDB") != NULL;
	if (version >= (link->mariadb ? MIN_MARIADB : MIN_MYSQL))
		return true;
	return fail(link, answer, &too_old, "the server is too old: MariaDB 10.6 or MySQL 8.0.1 is needed");
}

static bool connect_one(struct store_link *link, struct store_answer *answer)
{
	static const struct error_class no_memory = {0, EXCHANGE_UNAVAILABLE, true, NULL};
	link->connection = connect_host(link, &link->hosts[link->next_host], link->config->timeout_ns + NS_PER_S);
	if (!link->connection)
		return fail(link, answer, &no_memory, "no memory for a connection");
	if (mysql_errno(link->connection) != 0)
		return fail_by_connection(link, answer, WRITE);
	watch_socket(link->watch, socket_of(link->connection));
	return check_server(link, answer);
}

// Limits that end a statement on the server before the exchange's deadline; and
// a connection, where a transaction is not gone on with (MariaDB), or nothing
// is said for two leases.
static void put_settings(struct store_link *link, int64_t lease_ms)
{
	int64_t timeout_ms = link->config->timeout_ns / NS_PER_MS;
	int64_t lock_s = timeout_ms / 2000, idle_s = 2 * (lease_ms + 999) / 1000 + 1;
	put_statement(link, WRITE, "SET SESSION autocommit = 1, sql_mode = 'STRICT_TRANS_TABLES',");
	put(link, " innodb_lock_wait_timeout = ");
	put_number(link, lock_s > 0 ? lock_s : 1);
	put(link, ", wait_timeout = ");
	put_number(link, idle_s);
	if (link->mariadb) {
		fprintf(link->out,
			", max_statement_time = %.3f, idle_transaction_timeout = ", (double)timeout_ms * 0.75 / 1000);
		put_number(link, (timeout_ms + 999) / 1000);
	} else {
		put(link, ", max_execution_time = ");
		put_number(link, timeout_ms * 3 / 4);
	}
	put_statement(link, WRITE, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
}

static bool look(struct store_link *link, struct store_answer *answer)
{
	if (!packet_new(link, answer))
		return false;
	put_settings(link, link->call->request->lease_ms);
	put_statement(link, HEAD, sql_head);
	for (size_t i = 0; i < COUNT_OF(sql_try); i++)
		put_statement(link, TRY, sql_try[i]);
	put_statement(link, LOOK_DATABASE, "SELECT COALESCE(");
	if (is_given(link->config->schema))
		put_text(link, link->config->schema);
	else
		put(link, "NULL");
	put(link, ", DATABASE())");
	return round_trip(link, answer);
}

// The lock first: without it, the waiter gets it, and gives up, and there is a
// hint less.
static bool start_waiting(struct store_link *link, struct store_answer *answer)
{
	char sql[WAIT_TEXT_SIZE];
	unsigned long id = mysql_thread_id(link->connection);
	snprintf(sql, sizeof sql, "DO GET_LOCK('" WAIT_LOCK "', 0)", id);
	bool failed = mysql_query(link->connection, sql) != 0;
	if (failed && mysql_errno(link->connection) >= CLIENT_ERRORS)
		return fail_by_connection(link, answer, WRITE);
	if (!failed)
		waiter_follow(link->waiter, &link->hosts[link->next_host], id, link->database);
	return true;
}

static bool is_time_left(const struct store_link *link)
{
	struct pollfd abort = {.fd = link->call->abort_fd, .events = POLLIN};
	return poll(&abort, 1, 0) == 0 && clock_now_ns() < link->call->deadline_at;
}

static void add_text(char text[static EXCHANGE_TEXT_SIZE], const char *more)
{
	size_t used = strlen(text);
	if (snprintf(text + used, EXCHANGE_TEXT_SIZE - used, "%s%s", used ? "; " : "", more) < 0)
		text[used] = '\0';
}

// Each host once, until one is the writable primary (W25). Nothing of the
// exchange was sent yet.
static bool connect_any(struct store_link *link, struct store_answer *answer)
{
	char told[EXCHANGE_TEXT_SIZE] = "";
	bool away = false;
	for (size_t tries = 0; tries < link->host_count && (tries == 0 || is_time_left(link)); tries++) {
		link->failed = false;
		link->broken = false;
		if (connect_one(link, answer) && look(link, answer) && start_waiting(link, answer)) {
			link->connections++;
			link->wrote = false;
			return true;
		}
		disconnect(link);
		add_text(told, answer->reply->text);
		away |= answer->reply->outcome != EXCHANGE_DENIED;
		answer->reply->server.text[0] = '\0';
		link->next_host = (link->next_host + 1) % link->host_count;
	}
	link->failed = true;
	store_answer_fail(answer, away ? EXCHANGE_UNAVAILABLE : EXCHANGE_DENIED, "%s", told);
	return false;
}

// ---- the exchange ----

static int allocate(struct store_link *link);

// What announce() is still to be told.
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
		disconnect(link);
}

// So that a connection that ended while nobody looked costs a reconnection and
// not an exchange.
static void drop_if_dead(struct store_link *link)
{
	if (!link->connection)
		return;
	struct pollfd unasked = {.fd = socket_of(link->connection), .events = POLLIN};
	if (poll(&unasked, 1, 0) != 0)
		disconnect(link);
}

// The last moment to leave it.
static bool is_in_time(struct store_link *link, struct store_answer *answer)
{
	static const struct error_class late = {0, EXCHANGE_UNAVAILABLE, false, NULL};
	return is_time_left(link) || fail(link, answer, &late, "connecting took the whole timeout");
}

// The names may have grown since.
static bool has_room(struct store_link *link, struct store_answer *answer)
{
	static const struct error_class no_memory = {0, EXCHANGE_UNAVAILABLE, false, NULL};
	return link->room == link->names->count || allocate(link) == 0 || fail(link, answer, &no_memory, "no memory");
}

// What follows goes in another packet. On Galera, a COMMIT has to be alone in its own: where another node ended the
// transaction, a statement that has others behind it succeeds all the same, and the next one is told.
static bool send_on(struct store_link *link, struct store_answer *answer)
{
	return round_trip(link, answer) && packet_new(link, answer);
}

static bool change(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	static const struct error_class torn = {0, EXCHANGE_UNKNOWN, true, NULL};
	put_locks(link, request);
	if (!send_on(link, answer))
		return false;
	decide(link, request, answer);
	link->changes = put_decision(link);
	bool galera = is_galera(answer->reply);
	if (galera && link->count && !send_on(link, answer))
		return false;
	put_statement(link, COMMIT, "COMMIT");
	if (galera && !send_on(link, answer))
		return false;
	put_report(link, request);
	if (link->changes)
		put_waiters(link);
	if (!round_trip(link, answer))
		return false;
	return link->changed == 0 || fail(link, answer, &torn, "a row that was locked is gone");
}

// One packet where nothing changes hands, which one server answers as a whole,
// so that one look at it is enough.
static bool talk(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	bool changes = request->release_count || request->claim_count || request->sweep_count;
	collect(link, request);
	for (uint32_t i = 0; request->report && i < link->names->count; i++)
		answer->rows[i] = (struct exchange_row){.lease = i};
	answer->reply->row_count = request->report ? link->names->count : 0;
	if (!packet_new(link, answer))
		return false;
	put_session(link, request);
	put_adopt(link, request);
	put_listing(link, &list_missing);
	if (!changes) {
		put_report(link, request);
		return round_trip(link, answer);
	}
	put_statement(link, HEAD, sql_head);
	return change(link, request, answer);
}

static void roll_back(struct store_link *link)
{
	if (link->in_transaction && !link->broken && mysql_query(link->connection, "ROLLBACK") != 0)
		link->broken = true;
	link->in_transaction = false;
}

static void mysql_exchange(struct store_link *link, const struct store_call *call, struct store_answer *answer)
{
	link->call = call;
	link->wrote = link->committed = link->in_transaction = link->failed = link->broken = false;
	link->waiter_count = 0;
	watch_begin(link->watch, call->deadline_at, call->abort_fd);
	settle(link);
	drop_if_dead(link);
	if (has_room(link, answer) && (link->connection || connect_any(link, answer)) && is_in_time(link, answer) &&
		talk(link, call->request, answer)) {
		answer->reply->outcome = EXCHANGE_OK;
		answer->reply->connection = link->connections;
		answer->reply->deaf = is_deaf(link, answer->reply);
		announce(link, answer);
	} else if (link->connection) {
		roll_back(link);
	}
	if (watch_end(link->watch))
		link->broken = true;
	if (link->broken && link->connection) {
		disconnect(link);
		link->next_host = (link->next_host + 1) % link->host_count;
	}
	link->call = NULL;
}

// ---- hints ----

static int mysql_hint_fd(struct store_link *link)
{
	return link->waiter->hint_fd;
}

static bool mysql_take_hint(struct store_link *link)
{
	eventfd_t count;
	return eventfd_read(link->waiter->hint_fd, &count) == 0;
}

// ---- opening and closing ----

static bool port_in(const char *text, unsigned *ret)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || port == 0 || port > PORT_MAX)
		return false;
	*ret = (unsigned)port;
	return true;
}

// NAME, NAME:PORT, [ADDRESS]:PORT, or an address with more than one colon.
// Takes the text apart.
static bool host_in(char *text, unsigned port, struct host *ret)
{
	char *end = NULL, *colon = strchr(text, ':');
	if (text[0] == '[') {
		end = strchr(++text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		colon = end[1] ? end + 1 : NULL;
	} else if (colon && strchr(colon + 1, ':')) {
		colon = NULL;
	}
	if (colon && !port_in(colon + 1, &port))
		return false;
	if (end || colon)
		*(end ? end : colon) = '\0';
	*ret = (struct host){.name = text, .port = port};
	return text[0] && !strpbrk(text, " \t@/");
}

// Fills `hosts`, as many as there are commas and one; false where one is none.
static bool hosts_in(char *text, unsigned port, struct host *hosts)
{
	for (; text; hosts++) {
		char *next = strchr(text, ',');
		if (next)
			*next++ = '\0';
		text += strspn(text, " ");
		for (size_t length = strlen(text); length && text[length - 1] == ' '; length--)
			text[length - 1] = '\0';
		if (!host_in(text, port, hosts))
			return false;
		text = next;
	}
	return true;
}

// What the configuration says of hosts. -EINVAL and a text, or -ENOMEM.
static int set_hosts(
	struct store_link *link, const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	unsigned port = 0;
	link->host_count = 1;
	for (const char *c = is_given(config->host) ? config->host : ""; *c; c++)
		link->host_count += *c == ',';
	link->hosts = calloc(link->host_count, sizeof *link->hosts);
	link->host_text = strdup(is_given(config->host) ? config->host : "");
	if (!link->hosts || !link->host_text) {
		store_text(ret_text, "no memory");
		return -ENOMEM;
	}
	if (is_given(config->port) && !port_in(config->port, &port)) {
		store_text(ret_text, "port: a number from 1 to %d", PORT_MAX);
		return -EINVAL;
	}
	if (is_given(config->host) && !hosts_in(link->host_text, port, link->hosts)) {
		store_text(ret_text, "host: names or addresses with commas between them, "
				     "each with its :PORT or none");
		return -EINVAL;
	}
	if (!is_given(config->host))
		link->hosts[0].port = port;
	return 0;
}

static void free_hosts(struct store_link *link)
{
	free(link->hosts);
	free(link->host_text);
}

static int check_words(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	if (!is_given(config->host) && !is_given(config->socket) && !is_given(config->defaults_file))
		store_text(ret_text, "driver mysql needs host, socket or defaults_file");
	else if (is_given(config->host) && is_given(config->socket))
		store_text(ret_text, "host and socket are two ways to the server: leave one of them out");
	else if (is_given(config->socket) && config->socket[0] != '/')
		store_text(ret_text, "socket: the absolute path of the server's socket");
	else if (is_given(config->tls) && strcmp(config->tls, "verify") != 0 && strcmp(config->tls, "off") != 0)
		store_text(ret_text, "tls: verify or off");
	else if (is_given(config->tls_ca) && is_given(config->tls) && strcmp(config->tls, "off") == 0)
		store_text(ret_text, "tls_ca is of no use with tls = off: leave one of them out");
	else if (is_given(config->schema) && strlen(config->schema) > DATABASE_NAME_BYTES)
		store_text(ret_text, "schema: %d bytes at most", DATABASE_NAME_BYTES);
	else if (!is_given(config->schema) && !is_given(config->database) && !is_given(config->defaults_file))
		store_text(ret_text, "driver mysql needs database, or schema");
	else
		return 0;
	return -EINVAL;
}

static int mysql_check(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	struct store_link link = {.config = config};
	int error = check_words(config, ret_text);
	if (error < 0)
		return error;
	error = set_hosts(&link, config, ret_text);
	free_hosts(&link);
	return error;
}

// A quoted name and a dot; empty where none is given. NULL where memory ran
// out.
static char *quote_schema(const char *name)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	if (is_given(name))
		fputc('`', out);
	for (const char *c = is_given(name) ? name : ""; *c; c++)
		fputs(*c == '`' ? "``" : (char[]){*c, '\0'}, out);
	if (is_given(name))
		fputs("`.", out);
	bool failed = ferror(out);
	if (fclose(out) != 0 || failed) {
		free(text);
		return NULL;
	}
	return text;
}

static int by_name(const void *a, const void *b, void *argument)
{
	const struct store_names *names = argument;
	return strcmp(names->name[*(const uint32_t *)a], names->name[*(const uint32_t *)b]);
}

static void release_arrays(struct store_link *link)
{
	free(link->kinds);
	free(link->leases);
	free(link->doomed);
	free(link->order);
	link->kinds = NULL;
	link->leases = NULL;
	link->doomed = NULL;
	link->order = NULL;
	link->room = 0;
}

static int allocate(struct store_link *link)
{
	size_t count = link->names->count;
	release_arrays(link);
	// A statement a session that is to die, some lists, and what there is once.
	link->kinds = calloc(count + EXCHANGE_STRAYS + 8 * (count / CHUNK + 1) + 32, sizeof *link->kinds);
	link->leases = calloc(count + 1, sizeof *link->leases);
	link->doomed = calloc(count + EXCHANGE_STRAYS, sizeof *link->doomed);
	link->order = calloc(count + 1, sizeof *link->order);
	if (!link->kinds || !link->leases || !link->doomed || !link->order)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		link->order[i] = i;
	qsort_r(link->order, count, sizeof *link->order, by_name, (void *)link->names);
	link->room = count;
	return 0;
}

static void link_free(struct store_link *link)
{
	waiter_free(link->waiter);
	disconnect(link);
	watch_free(link->watch);
	free_hosts(link);
	release_arrays(link);
	free(link->schema);
	free(link->waiters);
	free(link);
}

static void mysql_close_link(struct store_link *link)
{
	link_free(link);
	mysql_thread_end();
}

static void start_library(void)
{
	mysql_library_init(0, NULL, NULL);
}

static int mysql_open(struct store_link **ret, const struct store_config *config, const struct store_names *names)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char text[EXCHANGE_TEXT_SIZE];
	pthread_once(&once, start_library);
	struct store_link *link = calloc(1, sizeof *link);
	if (!link)
		return -ENOMEM;
	link->config = config;
	link->names = names;
	int error = set_hosts(link, config, text);
	link->schema = quote_schema(config->schema);
	if (error == 0)
		error = link->schema ? allocate(link) : -ENOMEM;
	if (error == 0)
		error = watch_new(&link->watch);
	if (error == 0)
		error = waiter_new(&link->waiter, link);
	if (error < 0) {
		link_free(link);
		return error;
	}
	*ret = link;
	return 0;
}

// ---- init ----

static void print_statement(struct store_link *link, const char *sql, const char *end)
{
	put(link, sql);
	fputs(end, link->out);
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
	put(link, sql);
	fclose(link->out);
	link->out = out;
	fputc('\'', out);
	for (const char *c = text; *c; c++)
		fputs(*c == '\'' ? "''" : (char[]){*c, '\0'}, out);
	fputc('\'', out);
	free(text);
}

// For the command-line client of either vendor, whichever the server is of.
static int mysql_print_schema(const struct store_config *config, FILE *out)
{
	struct store_link link = {.config = config, .out = out, .schema = quote_schema(config->schema)};
	if (!link.schema)
		return -ENOMEM;
	if (is_given(config->schema))
		fprintf(out, "CREATE DATABASE IF NOT EXISTS %.*s;\nUSE %.*s;\n", (int)strlen(link.schema) - 1,
			link.schema, (int)strlen(link.schema) - 1, link.schema);
	fputs("DO GET_LOCK(" INIT_LOCK ", 10);\n", out);
	for (size_t i = 0; i < COUNT_OF(sql_init_1); i++)
		print_statement(&link, sql_init_1[i], ";\n");
	fputs("DELIMITER //\n", out);
	print_statement(&link, sql_init_fence, " //\nDELIMITER ;\n");
	fputs("SET @tenure = IF(VERSION() LIKE '%MariaDB%', ", out);
	link.mariadb = true;
	print_quoted(&link, sql_init_store);
	fputs(",\n  ", out);
	link.mariadb = false;
	print_quoted(&link, sql_init_store);
	fputs(");\nPREPARE tenure FROM @tenure;\nEXECUTE tenure;\nDEALLOCATE PREPARE "
	      "tenure;\n",
		out);
	print_statement(&link, sql_init_version, ";\n");
	fputs("DO RELEASE_LOCK(" INIT_LOCK ");\n", out);
	free(link.schema);
	return ferror(out) ? -EIO : 0;
}

// The first value of the answer, or `none`; -1 where it failed.
static int64_t ask(struct store_link *link, struct store_answer *answer, const char *sql, int64_t none)
{
	int64_t value = none;
	if (mysql_query(link->connection, sql) != 0) {
		fail_by_connection(link, answer, WRITE);
		return -1;
	}
	MYSQL_RES *result = mysql_store_result(link->connection);
	MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
	if (row && row[0])
		value = number_in(row[0]);
	mysql_free_result(result);
	return value;
}

static bool execute(struct store_link *link, struct store_answer *answer, const char *sql)
{
	if (!packet_new(link, answer))
		return false;
	put_statement(link, WRITE, sql);
	return round_trip(link, answer);
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
	return mysql_select_db(link->connection, link->config->schema) == 0 || fail_by_connection(link, answer, WRITE);
}

// Whoever finds the newest version needs no privilege to change anything.
static bool upgrade(struct store_link *link, struct store_answer *answer)
{
	static const struct error_class newer = {0, EXCHANGE_DENIED, true, "use the tenurectl that goes with it"};
	static const struct error_class busy = {0, EXCHANGE_BUSY, true, "try again"};
	int64_t got = ask(link, answer, "SELECT GET_LOCK(" INIT_LOCK ", 10)", 0);
	if (got <= 0)
		return fail(link, answer, &busy, "another tenurectl init takes its time");
	int64_t version = ask(link, answer,
		"SELECT COUNT(*) FROM information_schema.TABLES"
		" WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'tenure_store'",
		0);
	if (version > 0)
		version = ask(link, answer, "SELECT schema_version FROM tenure_store WHERE id = 1", 0);
	if (version > SCHEMA_VERSION)
		return fail(link, answer, &newer, "the schema is newer than this program");
	if (version < 0 || version == SCHEMA_VERSION)
		return version > 0;
	for (size_t i = 0; i < COUNT_OF(sql_init_1); i++)
		if (!execute(link, answer, sql_init_1[i]))
			return false;
	return execute(link, answer, sql_init_fence) && execute(link, answer, sql_init_store) &&
	       execute(link, answer, sql_init_version);
}

static bool find_primary(struct store_link *link, struct store_answer *answer)
{
	for (size_t tries = 0; tries < link->host_count; tries++) {
		link->failed = link->broken = false;
		if (connect_one(link, answer) &&
			(ask(link, answer, "SELECT @@global.read_only IN ('0', 'OFF')", 0) > 0 ||
				fail(link, answer, classify(READ_ONLY), "the server is read-only")))
			return true;
		disconnect(link);
		link->next_host = (link->next_host + 1) % link->host_count;
	}
	return false;
}

static int mysql_init_schema(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	static const struct store_names no_names = {.count = 0};
	struct exchange_reply reply = {.outcome = EXCHANGE_OK};
	struct store_answer answer = {.reply = &reply};
	struct store_config patient = *config;
	struct store_link *link;
	patient.timeout_ns = INIT_TIMEOUT_NS;
	int error = mysql_open(&link, &patient, &no_names);
	if (error < 0) {
		store_text(ret_text, "MySQL: %s", strerror(-error));
		return error;
	}
	bool done = find_primary(link, &answer) && use_schema(link, &answer) && upgrade(link, &answer);
	if (!done)
		memcpy(ret_text, reply.text, EXCHANGE_TEXT_SIZE);
	mysql_close_link(link);
	return done ? 0 : -EIO;
}

const struct store_driver store_mysql = {
	.name = "mysql",
	.check = mysql_check,
	.init_schema = mysql_init_schema,
	.print_schema = mysql_print_schema,
	.open = mysql_open,
	.exchange = mysql_exchange,
	.hint_fd = mysql_hint_fd,
	.take_hint = mysql_take_hint,
	.close = mysql_close_link,
};
