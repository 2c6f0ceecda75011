// SPDX-License-Identifier: Apache-2.0
// What the files of the driver for MySQL and MariaDB share; see mysql.c.
#ifndef TENURE_STORE_MYSQL_LINK_H
#define TENURE_STORE_MYSQL_LINK_H

#include "known.h"
#include "watch.h"

#include <mysql.h>

// Which vendor's client library: Debian's is MariaDB's. Oracle's side is compiled by lint.
#if defined MARIADB_BASE_VERSION && !defined ORACLE_CLIENT
#define MARIADB_CLIENT
#endif

#define DATABASE_NAME_BYTES 64
// Names in one statement: MariaDB makes a join of a list of 1,000.
#define CHUNK 500

// What a statement of a packet is, and so what its answer means.
enum kind {
	WRITE, // its answer is of no interest
	LOOK_DATABASE,
	TRY,
	LOOK, // HEAD, of whatever version
	HEAD,
	SESSION,
	ADOPT,
	MISSING,
	BEGIN,
	LOCK_ME,
	LOCK_STORE,
	LOCK_LEASES,
	LOCK_SESSIONS,
	LOOK_ALIVE,
	LOOK_NAMED,
	LOOK_PAST,
	CHANGE,
	PAST, // writes history
	ASK,
	COMMIT,
	OFFERED, // writes what is offered
	ROWS,
	STRAYS,
	CANDIDATES,
	HISTORY,
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
	// Of its history; 0: none.
	uint64_t first_open;
	uint64_t last_open;
	uint64_t trim; // with all that is older
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
	size_t room;      // of the arrays of this struct
	struct store_known known;
	int64_t clock_us; // the server's
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
	long *starts; // of the statements in the text
	size_t count;
	// Of the exchange that runs.
	const struct store_call *call;
	struct lease *leases; // by number
	struct doomed *doomed;
	size_t doomed_count;
	uint64_t generation;       // tenure_store's
	bool me;                   // my session has a row, and it is locked
	char node[NAME_BYTES + 1]; // as that row says
	bool elects;               // the fleet is not paused, and cannot be before the end of the transaction
	const char *reason;        // of the releases that a statement is made for
	bool held;                 // somebody holds rows of the history
	bool forgets;              // nothing is written to it
	size_t changed;            // how many rows CHANGE has to have changed
	size_t waiter_count;       // found, in waiters
	unsigned long *waiters;
	size_t waiter_room;
	bool wrote; // a statement that writes was answered
	bool galera;
	bool one_by_one; // statements are sent, though they were made as a packet
	bool changes;    // there is something to commit
	bool committed;  // the change, perhaps
	bool in_transaction;
	bool failed; // the answer has its outcome
	bool broken; // the connection is to be dropped
	bool owed;   // answers that nobody waits for are still to be read
};

// ---- mysql_link.c: errors, and the connection ----

#define CLIENT_ERRORS 2000
#define CLIENT_ERRORS_END 3000
#define LOCK_TIMEOUT 1205
#define DEADLOCK 1213
#define INTERRUPTED 1317
#define READ_ONLY 1290

struct error_class {
	unsigned code;
	enum exchange_outcome outcome;
	bool drop; // the connection
	const char *advice;
};

const struct error_class *my_classify(unsigned code);
// The first failure of an exchange is the one that is told. False, for `return my_fail(…)`.
bool my_fail(
	struct store_link *link, struct store_answer *answer, const struct error_class *class, const char *message);
bool my_fail_by_connection(struct store_link *link, struct store_answer *answer, enum kind kind);

int my_socket_of(MYSQL *connection);
// NULL where there is no memory. Where it failed, mysql_errno() says so.
MYSQL *my_connect_host(const struct store_link *link, const struct host *host, int64_t timeout_ns);
// To the host that is next.
bool my_connect_one(struct store_link *link, struct store_answer *answer);
// Each host once, until one is the writable primary (W25). Nothing of the exchange was sent yet.
bool my_connect_any(struct store_link *link, struct store_answer *answer);
void my_disconnect(struct store_link *link);
bool my_is_time_left(const struct store_link *link);

int my_check(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE]);
// What the configuration says of hosts. -EINVAL and a text, or -ENOMEM.
int my_set_hosts(struct store_link *link, const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE]);
void my_free_hosts(struct store_link *link);
// A quoted name and a dot; empty where none is given. NULL where memory ran out.
char *my_quote_schema(const char *name);

// ---- mysql_packet.c: statements, made, sent and answered ----

bool my_packet_new(struct store_link *link, struct store_answer *answer);
// Sends the packet that was made, and takes what is answered.
bool my_round_trip(struct store_link *link, struct store_answer *answer);
void my_put_statement(struct store_link *link, enum kind kind, const char *sql);
// These go on with the statement. In `sql` stands what mysql_sql.h says.
void my_put(struct store_link *link, const char *sql);
void my_put_number(struct store_link *link, int64_t number);
void my_put_uuid(struct store_link *link, const struct uuid *id);
// Names have no characters that would have to be escaped.
void my_put_name(struct store_link *link, const char *name);
// Any text, whatever the server takes for an escape.
void my_put_text(struct store_link *link, const char *text);

// A list over the leases, in as many statements as it takes.
struct listing {
	enum kind kind;
	void (*start)(struct store_link *link);
	bool (*has)(const struct store_link *link, uint32_t lease);
	void (*item)(struct store_link *link, uint32_t lease);
	const char *separator;
	const char *end;
};

void my_put_listing(struct store_link *link, const struct listing *listing);
void my_item_name(struct store_link *link, uint32_t lease);

int64_t my_number_in(const char *text);

// ---- mysql_wait.c: the waiter ----

int my_waiter_new(struct waiter **ret, const struct store_link *link);
void my_waiter_free(struct waiter *waiter);
// It waits at the server that the exchanges go to, for changes of the database of that name, while the connection of
// that number lives.
void my_waiter_follow(struct waiter *waiter, const struct host *host, unsigned long connection, const char *database);
// The lock that the connection of that number holds, and the waiter waits for.
#define WAIT_LOCK "tenured/%lu"
#define WAIT_TEXT_SIZE 320

bool my_is_galera(const struct exchange_reply *reply);
// Whether what others announce is not heard: nobody waits, or they may sit at other nodes.
bool my_is_deaf(const struct store_link *link, const struct exchange_reply *reply);
// Who else waits, to be interrupted by my_announce(). The last statement, since it is for others.
void my_put_waiters(struct store_link *link);
// Sends and does not wait: nobody's exchange depends on it. One that went away meanwhile ends the packet.
void my_announce(struct store_link *link, struct store_answer *answer);
int my_hint_fd(struct store_link *link);
bool my_take_hint(struct store_link *link, struct store_hint *hint);

// ---- mysql_init.c: the schema ----

int my_init_schema(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE]);
int my_print_schema(const struct store_config *config, FILE *out);

// ---- mysql.c ----

int my_open(struct store_link **ret, const struct store_config *config, const struct store_names *names);
void my_close(struct store_link *link);

#endif
